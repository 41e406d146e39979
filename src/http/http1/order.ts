/**
 * Whether the order of the messages of one connection tells which response answers which request.
 *
 * Rules of pairing. A response pairs with the oldest outstanding request. When something is hidden or not understood:
 *  1. In the response direction: every outstanding request is counted incomplete, as the count of responses is unknown.
 *  2. In the request direction: the outstanding requests keep their responses, as what comes later cannot shift them. But
 *     unseen requests may follow.
 *  3. After either, responses beyond the outstanding requests are passed over silently and requests are counted incomplete,
 *     up to a clean point: the start of a request while nothing is outstanding and no response is under way. After 2 there
 *     must also have been a response without a request since, the answer to what was hidden.
 *  4. A connection that was seen to pipeline (two requests in one chunk, or a response with a further request already
 *     waiting, or going on after it) has no clean point: order cannot tell how many responses are owed. It is not paired again.
 *  5. A response without a request on a connection in good order, or during a request head, answers the next request head
 *     (early-response.ts), or both count as one `orphan`. If that was a join and a second request comes before any response,
 *     the order is not what it seems: rule 1.
 * What remains undecidable: a join in the middle of a pipeline that never shows itself as one.
 */

import type { IncompleteReason } from '../../stream/contract.ts';
import { type MessageReader, READER_JOIN, READER_START } from './message-reader.ts';

export class Order {
  /** Why rule 3 is in force. */
  unsure: IncompleteReason | undefined;
  /** Rule 3: a hidden request has not been answered yet. */
  owed = false;
  /** Rule 4. */
  pipelined = false;
  /** There was a response without a request after the last request. */
  orphanSince = false;
  /** Rule 5: the next request head has had its response. */
  answered = false;

  /** The directions were mistaken for each other: all that was concluded from them falls. */
  reset(): void {
    this.unsure = undefined;
    this.owed = false;
    this.pipelined = false;
    this.answered = false;
    this.orphanSince = false;
  }

  /** Rule 3, of the start of a request while nothing is outstanding. */
  isClean({ state, uncertain }: MessageReader): boolean {
    const idle = state === READER_START || state === READER_JOIN || uncertain;
    return idle && !this.owed && !this.pipelined;
  }

  /** Rule 2. */
  hideRequests(reason: IncompleteReason): void {
    this.unsure = reason;
    this.owed = !this.orphanSince;
    this.answered = false;
  }
}
