/** What nghttp says of its requests. */

/** Lines of `nghttp --stat`: `id responseEnd requestStart process code size path`; a star marks what was pushed. */
export function readStatuses(text: string): string[] {
  const lines = [...text.matchAll(/^\s*\d+\s+\+\S+\s+(\*)?\s*\+\S+\s+\S+\s+(\d{3})\s+\S+\s+\S+$/gm)];
  return lines.filter(([, pushed]) => pushed === undefined).map(([, , status]) => status!);
}
