/** What every protocol of the registry has to do with each of its cases. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROTOCOLS } from '../../src/http/registry.ts';
import type { Step } from './cases.ts';
import { assertOnlyThese, cut, loadCases, Outcome, Replay, replay, withLoss } from './cases.ts';

const cases = loadCases();

function transactionsOf(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.startsWith('incomplete'));
}

/** Heads as captured; of bodies only a last few bytes if they end a line, as the kernel sends them. */
function withoutBodies(steps: readonly Step[]): Step[] {
  const result: Step[] = [];
  for (const step of steps) {
    if (step.kind !== 'chunk' || step.bytes.length < step.lengthBytes) {
      result.push(step);
      continue;
    }
    const text = step.bytes.toString('latin1');
    const head = /^(?:[A-Z-]+ .*|HTTP\/1\..*)\r?\n(?:.+\r?\n)*\r?\n/.exec(text)?.[0].length ?? 0;
    const tail = head < text.length && /[\r\n]$/.test(text) ? Math.min(7, text.length - head) : 0;
    result.push({
      ...step,
      bytes: step.bytes.subarray(0, head),
      lengthBytes: step.lengthBytes - tail,
    });
    if (tail > 0) {
      result.push({ ...step, bytes: step.bytes.subarray(text.length - tail), lengthBytes: tail, skipBytes: 0 });
    }
  }
  return result;
}

for (const { name } of PROTOCOLS) {
  test(`${name} has cases`, () => {
    assert.ok(cases.filter((item) => item.protocol === name).length >= 40);
  });
}

test('every case is of a protocol of the registry', () => {
  const names = PROTOCOLS.map(({ name }) => name);
  for (const item of cases) assert.ok(names.includes(item.protocol), item.name);
});

for (const item of cases) {
  const { steps, expected, except } = item;

  test(`${item.name}: whole, in both roles`, () => {
    for (const role of ['server', 'client'] as const) {
      const outcome = replay(steps, role);
      assert.deepEqual(outcome.lines, expected);
      if (transactionsOf(expected).length === expected.length && expected.length > 0) {
        assert.deepEqual([...outcome.roles], [role]);
      }
    }
  });

  if (!except.has('cut')) {
    test(`${item.name}: cut at every byte`, () => {
      const pieces: Step[] = [];
      steps.forEach((step, index) => {
        if (step.kind !== 'chunk') {
          pieces.push(step);
          return;
        }
        let rest = step;
        // A filler of 40 kB need not be cut everywhere.
        const every = step.bytes.length > 5000 ? 997 : 1;
        for (let at = every; at < step.bytes.length; at += every) {
          const [first, second] = cut(step, at);
          const cutOnce = [...steps.slice(0, index), first, second, ...steps.slice(index + 1)];
          assert.deepEqual(replay(cutOnce).lines, expected, `cut at byte ${at} of step ${index}`);
          const [piece, remainder] = cut(rest, every);
          pieces.push(piece);
          rest = remainder;
        }
        pieces.push(rest);
      });
      assert.deepEqual(replay(pieces).lines, expected, 'in single bytes');
    });
  }

  test(`${item.name}: twice, one after the other and interleaved`, () => {
    const outcome = new Outcome();
    new Replay(outcome.streams, 1, 'server').all(steps);
    new Replay(outcome.streams, 2, 'client').all(steps);
    assert.deepEqual(outcome.lines, [...expected, ...expected]);
    const interleaved = new Outcome();
    const first = new Replay(interleaved.streams, 1, 'server');
    const second = new Replay(interleaved.streams, 2, 'client');
    for (const step of steps) {
      first.step(step);
      second.step(step);
    }
    assert.deepEqual(interleaved.lines.sort(), [...expected, ...expected].sort());
  });

  if (!except.has('middle')) {
    test(`${item.name}: from the middle`, () => {
      for (let from = 1; from < steps.length; from++) {
        const { transactions } = replay(steps.slice(from));
        assertOnlyThese(transactions, transactionsOf(expected), `without the first ${from} steps`);
      }
    });
  }

  if (!except.has('truncated')) {
    test(`${item.name}: bodies not captured`, () => {
      assertOnlyThese(replay(withoutBodies(steps)).transactions, transactionsOf(expected), 'bodies not captured');
    });
  }

  if (!except.has('lost')) {
    test(`${item.name}: any one or two chunks lost`, () => {
      for (let first = 0; first < steps.length; first++) {
        for (let second = first; second < steps.length; second++) {
          const { transactions } = replay(withLoss(steps, new Set([first, second])));
          assertOnlyThese(transactions, transactionsOf(expected), `without steps ${first} and ${second}`);
        }
      }
    });
  }
}
