/**
 * The log: one line a message, as text or as JSON, to stderr. It is handed words and numbers about what the agent does,
 * never bytes of the traffic. Names of processes and files may come from whoever can start a process, so control and
 * formatting characters are escaped and long values are cut: no message can forge another or drive a terminal.
 */

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'text' | 'json';
export type LogFields = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** Enough for each kind of message with each of some dozens of libraries; kept for the life of the process. */
const ONCE_LIMIT = 1024;
const TEXT_LIMIT = 1000;

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes whole lines. */
  readonly write: (line: string) => void;
  /** Unix time in ms; for tests. */
  readonly now?: () => number;
}

export class Log {
  readonly #format: LogFormat;
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  readonly #seen = new Set<string>();
  #rank: number;

  constructor({ level, format, write, now = Date.now }: LogOptions) {
    this.#rank = LOG_LEVELS.indexOf(level);
    this.#format = format;
    this.#write = write;
    this.#now = now;
  }

  setLevel(level: LogLevel): void {
    this.#rank = LOG_LEVELS.indexOf(level);
  }

  /** Lets a caller skip building a message that nobody reads. */
  enabled(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= this.#rank;
  }

  error(message: string, fields?: LogFields): void {
    this.#emit('error', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#emit('warn', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#emit('info', message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#emit('debug', message, fields);
  }

  /** Logs the first message of each key. Keys beyond the limit are not logged, which is itself logged once. */
  once(key: string, level: LogLevel, message: string, fields?: LogFields): void {
    if (!this.enabled(level) || this.#seen.has(key) || this.#seen.size > ONCE_LIMIT) return;
    this.#seen.add(key);
    if (this.#seen.size <= ONCE_LIMIT) this.#emit(level, message, fields);
    else this.#emit('warn', 'too many different messages of this kind; see /api/status for the rest');
  }

  #emit(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (!this.enabled(level)) return;
    const time = new Date(this.#now()).toISOString();
    this.#write(
      this.#format === 'json' ? jsonLine(time, level, message, fields) : textLine(time, level, message, fields),
    );
  }
}

function textLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  let line = `${time} ${level.padEnd(5)} ${escapeText(message)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = escapeText(String(value));
    line += ` ${name}=${/^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`}`;
  }
  return `${line}\n`;
}

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const line: Record<string, unknown> = { time, level, message: escapeText(message) };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || Object.hasOwn(line, name)) continue;
    line[name] = typeof value === 'number' || typeof value === 'boolean' ? value : escapeText(String(value));
  }
  return `${JSON.stringify(line)}\n`;
}

/** `text` on one line, without characters that a terminal obeys: they are written as `\u{hex}`. */
export function escapeText(text: string): string {
  const cut = text.length > TEXT_LIMIT ? `${text.slice(0, TEXT_LIMIT)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}
