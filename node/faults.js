// What goes wrong for the clients of a server.
'use strict';

const { branded } = require('./brand.js');
const { call, classes } = require('./errors.js');
const { checkNames } = require('./options.js');

const CONDITIONS = new Set(['command', 'key', 'times', 'probability']);

/** A fault that is injected until it is removed, which `using` does at the end. */
class FaultRule {
  #native;

  constructor(native) {
    this.#native = native;
  }

  /** Takes the fault away. Gives how often it was met. */
  remove() {
    return this.#native.remove();
  }

  [Symbol.dispose]() {
    this.remove();
  }
}

class Faults {
  #native;

  constructor(native) {
    this.#native = native;
  }

  /** Commands wait so many seconds first. */
  delay(seconds, when = {}) {
    return this.#add(when, () => this.#native.delay(seconds, when));
  }

  /** The connection is closed instead. */
  drop(when = {}) {
    return this.#add(when, () => this.#native.drop(when));
  }

  /** Commands answer `SERVER_ERROR` with this text and do nothing. */
  error(message = 'injected', when = {}) {
    if (typeof message === 'object') return this.error(undefined, message);
    return this.#add(when, () => this.#native.error(message, when));
  }

  /** Reads find nothing. */
  miss(when = {}) {
    return this.#add(when, () => this.#native.miss(when));
  }

  /** Replies end after so many bytes, and the connection with them. */
  truncate(after, when = {}) {
    return this.#add(when, () => this.#native.truncate(after, when));
  }

  /** Takes all faults away. */
  clear() {
    call(() => this.#native.clear());
  }

  #add(when, make) {
    checkNames(when, CONDITIONS, 'a fault', (text) => new classes.ConfigError(text));
    return new FaultRule(call(make));
  }
}

module.exports = { FaultRule: branded(FaultRule), Faults: branded(Faults) };
