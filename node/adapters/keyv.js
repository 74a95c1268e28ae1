// A store for Keyv, in this process.
'use strict';

const { EventEmitter } = require('node:events');
const { classes } = require('../errors.js');
const { clear, keysUnder, lasting, opened, short } = require('./shared.js');

const { OutOfMemoryError, ValueTooLargeError } = classes;

/** Keyv itself looks at the milliseconds; none, or 0, is for ever. */
function seconds(ttl) {
  return ttl > 0 ? lasting(ttl) : undefined;
}

/**
 * What Keyv asks of a store. Keyv 5 puts its namespace before the keys and tells it by a property `namespace`; that of a
 * store of Keyv 6 would be the store's own matter, and without one Keyv does it. So there is none until it is set.
 */
class KeyvMemcache extends EventEmitter {
  /** Keyv 5 iterates stores of dialects that it knows, and of no other; this one means keys and values. */
  opts = { dialect: 'redis' };
  #own;

  constructor(options = {}) {
    super();
    const { cache, own } = opened(options);
    this.cache = cache;
    this.#own = own;
  }

  async get(key) {
    return this.cache.getString(short(key));
  }

  async getMany(keys) {
    const names = keys.map(short);
    const found = this.cache.getMany(names);
    return names.map((name) => found.get(name)?.toString());
  }

  async has(key) {
    return this.cache.has(short(key));
  }

  async hasMany(keys) {
    return keys.map((key) => this.cache.has(short(key)));
  }

  async set(key, value, ttl) {
    this.cache.set(short(key), value, seconds(ttl));
    return true;
  }

  async setMany(entries) {
    return entries.map(({ key, value, ttl }) => {
      try {
        this.cache.set(short(key), value, seconds(ttl));
        return true;
      } catch (error) {
        // The others may well fit.
        if (error instanceof ValueTooLargeError || error instanceof OutOfMemoryError) return false;
        throw error;
      }
    });
  }

  async delete(key) {
    return this.cache.delete(short(key));
  }

  async deleteMany(keys) {
    return this.cache.deleteMany(keys.map(short)) > 0;
  }

  async clear() {
    clear(this.cache, this.#prefix(this.namespace));
  }

  async *iterator(namespace) {
    for (const key of keysUnder(this.cache, this.#prefix(namespace))) {
      const value = this.cache.getString(key);
      if (value !== undefined) yield [key.toString(), value];
    }
  }

  /** Closes the cache, if it is this store's own. */
  async disconnect() {
    if (this.#own) this.cache.close();
  }

  #prefix(namespace) {
    return namespace ? `${namespace}:` : '';
  }
}

module.exports = { KeyvMemcache };
