/**
 * The list of files in ARCHITECTURE.md, made of the first sentence of each file's head comment: `--write` writes it, without
 * that it is an error when the list is not what would be written. A file without a head comment is an error too.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// This file runs as build/tools/architecture.js.
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DOCUMENT = 'ARCHITECTURE.md';
const BEGIN = '<!-- files: written by `npm run generate` from the head comments -->';
const FOLDERS = ['bpf', 'native', 'src', 'tools', 'bench'];
const SOURCES = /\.(ts|c|h|cc|sh|js)$/;

function sentence(path: string): string {
  const text = readFileSync(join(ROOT, path), 'utf8')
    .replace(/^#!.*\n/, '')
    .replace(/^\/\* SPDX[^\n]*\n/, '');
  const comment = /^\/\*\*?([\s\S]*?)\*\//.exec(text)?.[1] ?? /^((?:#.*\n)+)/.exec(text)?.[1];
  if (comment === undefined)
    throw new Error(`${path} has no head comment: say what it is, what it refuses, its limits`);
  const words = comment
    .replace(/^[ \t]*(\*|#)[ \t]?/gm, '')
    .replace(/\s+/g, ' ')
    .trim();
  return /^.*?[^.][.:](?= [A-Z|-]|$)/.exec(words)?.[0].replace(/:$/, '.') ?? words;
}

function list(): string {
  const lines: string[] = [];
  let folder = '';
  for (const top of FOLDERS) {
    const files = readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })
      // A class of the addon is described by its header.
      .filter((file) => SOURCES.test(file) && !(top === 'native' && file.endsWith('.cc') && file !== 'addon.cc'))
      .map((file) => join(top, file));
    for (const path of files.sort(compare)) {
      const own = path.slice(0, path.lastIndexOf('/') + 1);
      if (own !== folder) lines.push('', `### ${own}`, '');
      folder = own;
      lines.push(`- \`${path.slice(own.length)}\`: ${sentence(path)}`);
    }
  }
  return lines.join('\n').trim();
}

/** Files of a folder before the folders in it. */
function compare(a: string, b: string): number {
  const [folderA, folderB] = [a, b].map((path) => path.slice(0, path.lastIndexOf('/') + 1)) as [string, string];
  if (folderA !== folderB) return folderA < folderB ? -1 : 1;
  return a < b ? -1 : 1;
}

const text = readFileSync(join(ROOT, DOCUMENT), 'utf8');
const at = text.indexOf(BEGIN);
if (at < 0) throw new Error(`${DOCUMENT} has lost the line ${BEGIN}`);
const wanted = `${text.slice(0, at)}${BEGIN}\n\n${list()}\n`;
if (process.argv.includes('--write')) {
  if (wanted !== text) writeFileSync(join(ROOT, DOCUMENT), wanted);
} else if (wanted !== text) {
  console.error(`${DOCUMENT}: the list of files is not what the head comments say; run: npm run generate`);
  process.exitCode = 1;
}
