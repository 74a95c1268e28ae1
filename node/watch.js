// Events of a server, as they happen. index.d.ts documents the class.
'use strict';

const { branded } = require('./brand.js');

const END = { done: true, value: undefined };

/** Parses a line of memcached's log. */
function parse(line) {
  const fields = {};
  for (const part of line.split(' ')) {
    const at = part.indexOf('=');
    if (at > 0) fields[part.slice(0, at)] = part.slice(at + 1);
  }
  if (fields.skipped !== undefined) return { type: 'skipped', time: 0, key: undefined, fields };
  return { type: fields.type ?? '', time: Number(fields.ts ?? 0), key: decode(fields.key), fields };
}

/** Decodes a key, which the log percent-encodes. */
function decode(text) {
  if (text === undefined) return undefined;
  const decoded = text.replace(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(decoded, 'latin1');
}

class Watch {
  #native;
  #events = [];
  /** The `resolve` functions of calls of `next` that wait for an event. */
  #waiting = [];
  #closed = false;
  #onClose;

  /** `open` creates a watcher of the addon, given the function to call when lines arrive. */
  constructor(open, onClose) {
    this.#native = open(() => this.#deliver());
    this.#onClose = onClose;
  }

  /** Delivers events to waiting calls. */
  #deliver() {
    if (this.#waiting.length > 0) this.#drain();
    while (this.#waiting.length > 0 && this.#events.length > 0) {
      this.#waiting.shift()({ done: false, value: this.#events.shift() });
    }
  }

  #drain() {
    for (const line of this.#native.take().split('\n')) {
      if (line !== '') this.#events.push(parse(line));
    }
  }

  next() {
    if (this.#events.length === 0 && !this.#closed) this.#drain();
    if (this.#events.length > 0) return Promise.resolve({ done: false, value: this.#events.shift() });
    if (this.#closed) return Promise.resolve(END);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return() {
    this.close();
    this.#events.length = 0;
    return Promise.resolve(END);
  }

  close() {
    if (this.#closed) return;
    this.#drain();
    this.#closed = true;
    this.#native.close();
    this.#onClose(this);
    for (const resolve of this.#waiting.splice(0)) resolve(END);
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  [Symbol.dispose]() {
    this.close();
  }

  async [Symbol.asyncDispose]() {
    this.close();
  }
}

module.exports = { Watch: branded(Watch) };
