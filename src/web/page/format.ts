/** Numbers as people read them, with their units. Pure: no document is needed. */

export const NONE = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function formatCount(count: number): string {
  return whole.format(count);
}

/** Three digits at most below 1000. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  if (value < 0.01) return '< 0.01';
  if (value < 10) return trimmed(value, 2);
  if (value < 100) return trimmed(value, 1);
  return whole.format(value);
}

/** A share of 0 to 1. Anything that is not nothing is not shown as 0 %, and what is not all is not shown as 100 %. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0) return '0 %';
  if (percent < 0.01) return '< 0.01 %';
  if (percent < 10) return `${trimmed(percent, percent < 1 ? 2 : 1)} %`;
  if (percent < 100 && percent >= 99.5) return `${(Math.floor(percent * 10) / 10).toFixed(1)} %`;
  return `${percent.toFixed(0)} %`;
}

/** `limit`: the last bucket's bound; a quantile that reaches it lies somewhere above. */
export function formatDuration(seconds: number | null, limit = Number.POSITIVE_INFINITY): string {
  if (seconds === null) return NONE;
  if (seconds >= limit) return `> ${formatBound(limit)}`;
  const ms = seconds * 1000;
  if (ms >= 10_000) return `${seconds.toFixed(1)} s`;
  if (ms >= 1000) return `${seconds.toFixed(2)} s`;
  if (ms >= 100) return `${ms.toFixed(0)} ms`;
  if (ms >= 10) return `${ms.toFixed(1)} ms`;
  return `${ms.toFixed(2)} ms`;
}

/** As short as it is exact: bounds are round numbers. */
export function formatBound(seconds: number): string {
  return seconds >= 1 ? `${Number(seconds.toPrecision(6))} s` : `${Number((seconds * 1000).toPrecision(6))} ms`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? whole.format(value) : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

export function formatUptime(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function formatTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toLocaleTimeString('en-GB');
}

function trimmed(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}
