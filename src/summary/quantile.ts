/** Quantiles of a histogram, as histogram_quantile() of Prometheus computes them (promql/quantile.go, v3.5.0). */

/**
 * `bounds` are the upper bounds, rising; `counts` has one number more, for what lies above the last. Linear between the
 * bounds of a bucket, the first of which begins at 0; above the last bound it is that bound. `null` without observations.
 */
export function quantile(q: number, bounds: readonly number[], counts: ArrayLike<number>): number | null {
  let total = 0;
  for (let bucket = 0; bucket <= bounds.length; bucket++) total += counts[bucket]!;
  if (total === 0) return null;
  const rank = q * total;
  let below = 0;
  for (let bucket = 0; bucket < bounds.length; bucket++) {
    const count = counts[bucket]!;
    if (below + count >= rank && count > 0) {
      const lower = bucket === 0 ? 0 : bounds[bucket - 1]!;
      return lower + (bounds[bucket]! - lower) * ((rank - below) / count);
    }
    below += count;
  }
  return bounds.at(-1)!;
}
