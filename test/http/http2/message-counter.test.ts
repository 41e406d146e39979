/** When more than one gRPC message is proven, and when not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageCounter } from '../../../src/http/http2/message-counter.ts';

/** A frame; `captured` of its bytes were. */
function feed(counter: MessageCounter, hex: string, lengthBytes?: number): void {
  const bytes = Buffer.from(hex, 'hex');
  counter.add(lengthBytes ?? bytes.length);
  counter.read(bytes, 0, bytes.length);
  if (lengthBytes !== undefined) counter.hide();
}

test('one message, in one frame or many', () => {
  const counter = new MessageCounter();
  feed(counter, '000000000361');
  feed(counter, '62');
  feed(counter, '63');
  assert.equal(counter.isMany, false);
  feed(counter, '00');
  assert.equal(counter.isMany, true);
  counter.reset();
  for (const byte of ['00', '00', '00', '00', '00']) feed(counter, byte);
  assert.equal(counter.isMany, false);
  feed(counter, '00');
  assert.equal(counter.isMany, true);
});

test('a message of 4 GiB is one', () => {
  const counter = new MessageCounter();
  feed(counter, '00ffffffff', 2 ** 24 - 1);
  assert.equal(counter.isMany, false);
});

test('behind the first length, nothing needs to be captured', () => {
  const counter = new MessageCounter();
  feed(counter, '0000000064', 105);
  assert.equal(counter.isMany, false);
  feed(counter, '', 1);
  assert.equal(counter.isMany, true);
});

test('without the first length nothing is proven', () => {
  const counter = new MessageCounter();
  feed(counter, '000000', 5);
  feed(counter, '0000000000', 1000);
  assert.equal(counter.isMany, false);
  const padded = new MessageCounter();
  feed(padded, '0000000000');
  padded.giveUp();
  feed(padded, '00');
  assert.equal(padded.isMany, false);
});
