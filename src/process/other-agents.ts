/**
 * Finds agents beside this one on the node, by their command lines: `bin/plainsight run`, however Node.js was started for it.
 * Each of them counts all traffic, so that numbers of two must not be added. It misses one that was started by another name.
 */

import { readlinkSync } from 'node:fs';
import type { ProcFs } from './procfs.ts';

/** Words of a command line, as /proc/PID/cmdline has them. */
export function isAgent(words: readonly string[]): boolean {
  const isNode = /(^|\/)node(js)?$/.test(words[0] ?? '');
  // node, its flags, and then the program; or the program itself, before its first line has started Node.js.
  const program = isNode ? words.findIndex((word, i) => i > 0 && !word.startsWith('-')) : 0;
  if (!/(^|\/)plainsight$/.test(words[program] ?? '')) return false;
  const [subcommand = 'run', ...rest] = words.slice(program + 1).filter((word) => word !== '');
  if (rest.includes('--help') || rest.includes('--version')) return false;
  return subcommand === 'run' || (subcommand.startsWith('-') && !/^--?(h|help|v|version)$/.test(subcommand));
}

/** Pids as the tree of `proc` counts them. What cannot be read is no agent. */
export function otherAgents(proc: ProcFs): number[] {
  const own = ownPid(proc);
  return proc.listPids().filter((pid) => pid !== own && isAgent(proc.commandLine(pid) ?? []));
}

/** Of this process in that tree, which may be of an outer pid namespace. */
function ownPid(proc: ProcFs): number {
  try {
    return Number(readlinkSync(`${proc.root}/self`));
  } catch {
    return process.pid;
  }
}
