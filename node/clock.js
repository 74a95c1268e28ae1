// The clock of a cache: whole seconds, which a test stops and moves.
'use strict';

const { branded } = require('./brand.js');
const { call } = require('./errors.js');

class Clock {
  #native;

  constructor(native) {
    this.#native = native;
  }

  /** Stops time. With `using`, it runs again at the end. */
  freeze() {
    call(() => this.#native.freeze());
    return this;
  }

  /** Lets time run again from where it stands. */
  resume() {
    this.#native.resume();
  }

  /** Sets time to the time of this machine, whatever `Date` says, and lets it run. */
  reset() {
    call(() => this.#native.reset());
  }

  /** Moves time by seconds, backwards if negative. */
  advance(seconds) {
    call(() => this.#native.advance(seconds));
  }

  /** Now, as a Unix time. */
  time() {
    return call(() => this.#native.time());
  }

  [Symbol.dispose]() {
    this.resume();
  }
}

module.exports = { Clock: branded(Clock) };
