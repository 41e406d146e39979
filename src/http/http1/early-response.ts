/**
 * A response that was seen before its request. A program that writes in one thread and reads in another can have read the
 * response before the system call that wrote the request has returned, which is when the request is seen. So a final
 * response on a connection in good order, while nothing is outstanding, is kept for the request head that comes next.
 *
 * Only of sockets, whose own counts show that no operation was missed, and not twice in a row: two in a row are what a
 * connection shows whose order is off by one. A server may also answer what nobody has asked (408 to an idle
 * client, RFC 9110 section 15.5.9), and then closes: that is an orphan.
 */
export class EarlyResponse {
  /** 0: there is none. */
  status = 0;
  /** The chunk with its first byte. */
  startNs = 0;
  /** The chunk with its last byte; 0: it goes on. */
  endNs = 0;
  #wasLast = false;

  /** False: it is an orphan, and so is one that is there already. */
  keep(status: number, startNs: number): boolean {
    if (this.#wasLast || this.status !== 0) return false;
    this.status = status;
    this.startNs = startNs;
    this.endNs = 0;
    return true;
  }

  /** A request comes, or will not come. Returns the status; 0: there is none. */
  take(): number {
    const { status } = this;
    this.#wasLast = status !== 0;
    this.status = 0;
    return status;
  }
}
