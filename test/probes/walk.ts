/**
 * Walks through a function the way a processor might, with a coin at each branch, and counts what a plan's probes would
 * see. It shares the decoder with the planner and nothing else.
 */

import assert from 'node:assert/strict';
import { arm64 } from '../../src/probes/arm64-decoder.ts';
import { decodeCookie } from '../../src/probes/cookie.ts';
import type { ProbePlan, Site } from '../../src/probes/plan.ts';
import { x64 } from '../../src/probes/x64-decoder.ts';

const MACHINES = { x64, arm64 };
const MAX_STEPS = 2000;

/** A sequence of numbers below 2^32 that is the same in every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

export interface Walk {
  /** `lost`: at what no direct path goes on from, or too long under way. */
  readonly end: 'returned' | 'tail call' | 'stopped' | 'lost';
  readonly entries: number;
  readonly returns: number;
}

/** Checks the depths of the sites that it passes. The plan's offsets count from the first byte of the code. */
export function walk(machine: 'x64' | 'arm64', code: Uint8Array, plan: ProbePlan, random: () => number): Walk {
  const { decode, frameRegister } = MACHINES[machine];
  let [at, depth, frame, entries, returns] = [0, 0, Number.NaN, 0, 0];
  const end = (how: Walk['end']): Walk => ({ end: how, entries, returns });
  for (let count = 0; count < MAX_STEPS; count++) {
    const step = decode(code, at);
    if (!step) return end('lost');
    for (const site of plan.entries) if (site.offset === at) entries += checkDepth(site, depth);
    for (const site of plan.returns) {
      if (site.offset === at && site.method === 'uprobe')
        returns += checkDepth(site, step.flow === 'return' ? 0 : depth);
    }
    const depthBefore = depth;
    depth = step.stackFromFrame === undefined ? depth - step.stackBytes : frame - step.stackFromFrame;
    if (step.frameFromStack !== undefined) frame = depthBefore - step.frameFromStack;
    else if ((step.writes & (1 << frameRegister)) !== 0) frame = Number.NaN;
    const after = at + step.lengthBytes;
    switch (step.flow) {
      case 'return':
        return end('returned');
      case 'stop':
        return end('stopped');
      case 'indirect-jump':
        return end('lost');
      case 'call':
      case 'indirect-call':
        if (after === code.length) return end('stopped');
        at = after;
        break;
      case 'jump':
        if (step.target <= 0 || step.target >= code.length) return end('tail call');
        at = step.target;
        break;
      case 'branch':
        at = random() % 2 === 0 ? step.target : after;
        if (at <= 0 || at >= code.length) return end('lost');
        break;
      default:
        at = after;
    }
  }
  return end('lost');
}

function checkDepth(site: Site, depth: number): 1 {
  assert.equal(decodeCookie(site.cookie)?.depthBytes, depth, 'the stack is as deep as the cookie says');
  return 1;
}

/** What must hold of a plan on every walk. */
export function checkPlan(machine: 'x64' | 'arm64', code: Uint8Array, plan: ProbePlan, random: () => number): void {
  const sites = plan.returns.some((site) => site.method === 'uprobe');
  const offsets = [...plan.entries, ...plan.returns].map((site) => `${site.offset} ${site.method}`);
  assert.equal(new Set(offsets).size, offsets.length, 'no place is probed twice');
  for (let i = 0; i < 20; i++) {
    const { end, entries, returns } = walk(machine, code, plan, random);
    if (plan.verdict === 'none') continue;
    if (end === 'returned') {
      assert.equal(entries, 1, 'a call that returns passes the entry site once');
      if (sites) assert.equal(returns, 1, 'a call that returns passes one return site');
    } else if (end !== 'lost') {
      assert.ok(entries <= 1);
      // A call may end behind a return site only where it never comes back.
      assert.ok(returns <= 1);
    }
    if (sites) assert.notEqual(end, 'tail call');
  }
}
