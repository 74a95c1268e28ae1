// Events of a server, as they happen. index.d.ts documents the class.
'use strict';

const { branded } = require('./brand.js');

const END = { done: true, value: undefined };

class Watch {
  #native;
  /** The `resolve` functions of calls of `next` that wait for an event. */
  #waiting = [];
  #closed = false;
  /** Whether the reader has given up the events that have arrived. */
  #left = false;
  #onClose;

  /** `open` creates a watcher of the addon, given the function to call when events arrive. */
  constructor(open, onClose) {
    this.#native = open(() => this.#deliver());
    this.#onClose = onClose;
  }

  /** Delivers events to waiting calls. */
  #deliver() {
    while (this.#waiting.length > 0) {
      const value = this.#native.next();
      if (value === null) return;
      this.#waiting.shift()({ done: false, value });
    }
  }

  next() {
    const value = this.#left ? null : this.#native.next();
    if (value !== null) return Promise.resolve({ done: false, value });
    if (this.#closed) return Promise.resolve(END);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return() {
    this.close();
    this.#left = true;
    return Promise.resolve(END);
  }

  close() {
    if (this.#closed) return;
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
