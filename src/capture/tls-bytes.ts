/**
 * From what the kernel has counted of each process since it began to use TLS, to what was added since the last look. A
 * count that is smaller than before began anew: the kernel forgot the process, or another has its pid.
 * Limit: as many processes as the kernel remembers, 8192 (the map tls_processes).
 */

export interface ProcessBytes {
  readonly pid: number;
  readonly plaintextBytes: number;
  readonly ciphertextBytes: number;
}

export class TlsBytes {
  readonly #add: (pid: number, plaintextBytes: number, ciphertextBytes: number) => void;
  #seen = new Map<number, ProcessBytes>();

  constructor(add: (pid: number, plaintextBytes: number, ciphertextBytes: number) => void) {
    this.#add = add;
  }

  update(counts: readonly ProcessBytes[]): void {
    for (const count of counts) {
      const { pid, plaintextBytes, ciphertextBytes } = count;
      const before = this.#seen.get(pid);
      const goesOn =
        before !== undefined && plaintextBytes >= before.plaintextBytes && ciphertextBytes >= before.ciphertextBytes;
      const plaintext = goesOn ? plaintextBytes - before.plaintextBytes : plaintextBytes;
      const ciphertext = goesOn ? ciphertextBytes - before.ciphertextBytes : ciphertextBytes;
      this.#seen.set(pid, count);
      if (plaintext + ciphertext > 0) this.#add(pid, plaintext, ciphertext);
    }
    // Processes whose end was not heard of.
    if (counts.length > 1 && this.#seen.size > 2 * counts.length) {
      this.#seen = new Map(counts.map((count) => [count.pid, count]));
    }
  }

  ended(pid: number): void {
    this.#seen.delete(pid);
  }
}
