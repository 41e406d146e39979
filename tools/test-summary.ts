/** Reads what node's spec reporter prints at the end of a run. Numbers only: which tests failed stands above it. */

export interface Totals {
  passed: number;
  /** Cancelled ones included. */
  failed: number;
  /** Those marked as to do included. */
  skipped: number;
}

/** undefined when there is no whole summary: the runner itself died. Of several the last counts. */
export function readSummary(output: string): Totals | undefined {
  const count = (name: string) => {
    const found = [...output.matchAll(new RegExp(`^\\S+ ${name} (\\d+)$`, 'gm'))].at(-1)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [passed, failed, cancelled] = [count('pass'), count('fail'), count('cancelled')];
  const [skipped, todo] = [count('skipped'), count('todo')];
  if (passed === undefined || failed === undefined || cancelled === undefined) return undefined;
  if (skipped === undefined || todo === undefined) return undefined;
  return { passed, failed: failed + cancelled, skipped: skipped + todo };
}
