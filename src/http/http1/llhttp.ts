/**
 * The one instance of llhttp, as the WebAssembly build that the pinned undici ships. Parsing happens in its sandboxed
 * memory: whatever bytes do to it, they cannot reach the process. This file knows the exports, one byte of the layout of
 * llhttp_t, and nothing of HTTP.
 *
 * Limits: 64 KiB of code and tables, one input buffer, and 150 bytes for each parser that is in use.
 */

import { createRequire } from 'node:module';
import { PlainsightError } from '../../errors.ts';

/** What the callbacks tell; positions are addresses in the memory of the instance. */
export interface HeadEvents {
  headerField(at: number, length: number): void;
  headerValue(at: number, length: number): void;
}

export interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  malloc(size: number): number;
  llhttp_alloc(type: number): number;
  llhttp_reset(parser: number): void;
  llhttp_execute(parser: number, at: number, length: number): number;
  llhttp_get_error_pos(parser: number): number;
  llhttp_set_lenient_headers(parser: number, on: number): void;
  llhttp_set_lenient_optional_cr_before_lf(parser: number, on: number): void;
}

/** llhttp_type_t and llhttp_errno_t, include/llhttp.h at release/v9.3.0; the test compares them with undici's. */
const TYPE_REQUEST = 1;
export const HPE_OK = 0;
export const HPE_PAUSED = 21;

/**
 * Offset of `header_state` in llhttp_t (include/llhttp.h at release/v9.3.0, 32-bit). Set to 0 (general) after the name
 * of a framing header, so that llhttp passes its value on without an opinion: Content-Length twice with the same value,
 * or a list of equal values, is fine (RFC 9110 section 8.6), and Transfer-Encoding beats Content-Length (RFC 9112
 * section 6.3). The body is never llhttp's business.
 */
export const HEADER_STATE_OFFSET = 44;

/**
 * What llhttp is given before the header section: it starts at a start line, and ours has been read already. Its bytes
 * lie before the input.
 */
const START_LINE = Buffer.from('GET / HTTP/1.1\r\n', 'latin1');
export const START_LINE_BYTES = START_LINE.length;

/** Heads are mostly below 2 KiB, and what follows them in a chunk is copied for nothing. */
export const INPUT_BYTES = 2048;

interface WasmModule {
  readonly brand?: undefined;
}
declare const WebAssembly: {
  Module: new (code: Uint8Array) => WasmModule;
  Instance: new (module: WasmModule, imports: object) => { readonly exports: unknown };
};

export class Llhttp {
  readonly exports: Exports;
  /** All memory; a new view after the memory has grown. */
  heap: Uint8Array;
  /** Address of START_LINE; the input follows it. */
  readonly startLine: number;
  readonly input: number;
  #events: HeadEvents | undefined;
  #complete = false;

  /** @throws PlainsightError INTERNAL when undici does not hold what is expected of the pinned version */
  constructor() {
    const none = (): number => 0;
    const imports = {
      wasm_on_message_begin: none,
      wasm_on_url: none,
      wasm_on_status: none,
      wasm_on_header_field: (_parser: number, at: number, length: number): number => {
        this.#events!.headerField(at, length);
        return 0;
      },
      wasm_on_header_value: (_parser: number, at: number, length: number): number => {
        this.#events!.headerValue(at, length);
        return 0;
      },
      wasm_on_headers_complete: (): number => {
        this.#complete = true;
        return HPE_PAUSED;
      },
      wasm_on_body: none,
      wasm_on_message_complete: none,
    };
    try {
      const code = createRequire(import.meta.url)('undici/lib/llhttp/llhttp_simd-wasm.js') as Uint8Array;
      this.exports = new WebAssembly.Instance(new WebAssembly.Module(code), { env: imports }).exports as Exports;
      this.exports._initialize();
      this.startLine = this.exports.malloc(START_LINE_BYTES + INPUT_BYTES);
      this.input = this.startLine + START_LINE_BYTES;
    } catch (cause) {
      throw new PlainsightError('INTERNAL', 'the llhttp of the undici package cannot be used; run: npm ci', { cause });
    }
    this.heap = new Uint8Array(this.exports.memory.buffer);
    this.heap.set(START_LINE, this.startLine);
  }

  /** Address of a new llhttp_t, set to what an observer needs. */
  allocate(): number {
    const parser = this.exports.llhttp_alloc(TYPE_REQUEST);
    if (parser === 0) throw new PlainsightError('INTERNAL', 'llhttp has no memory for a parser; report it as a defect');
    // Lenient where servers are and where it changes no framing: any byte in a value, and a bare LF as line end (RFC 9112
    // section 2.2). Not lenient: a bare CR as line end, which servers take for a space or refuse, never for a new header.
    this.exports.llhttp_set_lenient_headers(parser, 1);
    this.exports.llhttp_set_lenient_optional_cr_before_lf(parser, 1);
    if (this.heap.length === 0) this.heap = new Uint8Array(this.exports.memory.buffer);
    return parser;
  }

  /**
   * Runs the parser over `length` bytes at `at` (both inside the input buffer). Returns the address after the header
   * section when it is complete, 0 when all was read and more is needed, `~address` of a byte that cannot be there.
   */
  execute(parser: number, at: number, length: number, events: HeadEvents): number {
    this.#events = events;
    this.#complete = false;
    const result = this.exports.llhttp_execute(parser, at, length);
    if (result === HPE_OK) return 0;
    const position = this.exports.llhttp_get_error_pos(parser);
    return result === HPE_PAUSED && this.#complete ? position : ~position;
  }
}
