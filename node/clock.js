// The clock of a cache. index.d.ts documents the class.
'use strict';

const { branded } = require('./brand.js');
const { call } = require('./errors.js');
const { checkType } = require('./options.js');

class Clock {
  #native;

  constructor(native) {
    this.#native = native;
  }

  freeze() {
    call(() => this.#native.freeze());
    return this;
  }

  resume() {
    this.#native.resume();
  }

  reset() {
    call(() => this.#native.reset());
  }

  advance(seconds) {
    checkType('seconds', seconds, 'number');
    call(() => this.#native.advance(seconds));
  }

  time() {
    return call(() => this.#native.time());
  }

  [Symbol.dispose]() {
    this.resume();
  }
}

module.exports = { Clock: branded(Clock) };
