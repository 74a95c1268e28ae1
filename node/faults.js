// Faults for the clients of a server. index.d.ts documents the classes.
'use strict';

const { inspect, types } = require('node:util');
const { branded } = require('./brand.js');
const { call, classes } = require('./errors.js');
const { checkNames, checkType, typeError } = require('./options.js');

const CONDITIONS = { command: 'string', key: undefined, times: 'number', probability: 'number' };
const NAMES = new Set(Object.keys(CONDITIONS));

class FaultRule {
  #native;

  constructor(native) {
    this.#native = native;
  }

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

  delay(seconds, when = {}) {
    checkType('seconds', seconds, 'number');
    return this.#add(when, () => this.#native.delay(seconds, when));
  }

  delayReply(seconds, when = {}) {
    checkType('seconds', seconds, 'number');
    return this.#add(when, () => this.#native.delayReply(seconds, when));
  }

  drop(when = {}) {
    return this.#add(when, () => this.#native.drop(when));
  }

  error(message = 'injected', when = {}) {
    if (typeof message === 'object') return this.error(undefined, message);
    checkType('message', message, 'string');
    return this.#add(when, () => this.#native.error(message, when));
  }

  miss(when = {}) {
    return this.#add(when, () => this.#native.miss(when));
  }

  truncate(after, when = {}) {
    checkType('after', after, 'number');
    return this.#add(when, () => this.#native.truncate(after, when));
  }

  clear() {
    call(() => this.#native.clear());
  }

  #add(when, make) {
    checkNames(when, NAMES, 'a fault', (text) => new classes.ConfigError(text));
    for (const [name, type] of Object.entries(CONDITIONS)) {
      const value = when[name] ?? undefined;
      if (type !== undefined && value !== undefined) checkType(name, value, type);
    }
    const { key } = when;
    if (key !== undefined && typeof key !== 'string' && !types.isUint8Array(key)) {
      throw typeError(`key must be a string or a Uint8Array, got ${inspect(key)}`);
    }
    return new FaultRule(call(make));
  }
}

module.exports = { FaultRule: branded(FaultRule), Faults: branded(Faults) };
