// A store for Keyv, in this process. keyv.d.ts documents it.
'use strict';

const { EventEmitter } = require('node:events');
const { clear, isNoRoom, keysUnder, openCache, optionalNumber, shortKey, toCacheTtl } = require('./shared.js');

/** Longest TTL, in milliseconds, whose end 32 bits can express. */
const SOON = 2 ** 31;

/**
 * Converts a TTL of Keyv to options of a cache. As in Keyv, undefined, 0 and NaN mean no expiry,
 * and a negative TTL expires at once.
 *
 * The cache counts seconds. Keyv checks the milliseconds when it reads a value, but asks the store
 * in `has`. So the low 32 bits of the end are kept in the item's flags. 0 stands for a distant end.
 */
function toOptions(ttl) {
  const milliseconds = optionalNumber('ttl', ttl) || undefined;
  if (milliseconds === undefined) return {};
  if (milliseconds < 0) return { ttl: 0 };
  return { ttl: toCacheTtl(milliseconds), flags: milliseconds < SOON ? (Date.now() + milliseconds) >>> 0 || 1 : 0 };
}

/** Returns whether an item has expired by the millisecond, though not by the second. */
function isOver({ flags }) {
  return flags !== 0 && (Date.now() - flags) >>> 0 < SOON;
}

/**
 * Keyv 5 sets the property `namespace` of its store, and prefixes the keys itself. Keyv 6 leaves
 * the prefix to a store that has the property. So the property does not exist until it is set.
 */
class KeyvMemcache extends EventEmitter {
  /** Keyv 5 iterates only over stores of known dialects. This one yields keys and values. */
  opts = { dialect: 'redis' };
  #own;

  constructor(options = {}) {
    super();
    const { cache, own } = openCache(options);
    this.cache = cache;
    this.#own = own;
  }

  async get(key) {
    return this.cache.getString(shortKey(this.cache, key));
  }

  async getMany(keys) {
    const names = keys.map((key) => shortKey(this.cache, key));
    const found = this.cache.getMany(names);
    return names.map((name) => found.get(name)?.toString());
  }

  async has(key) {
    return this.#has(key);
  }

  async hasMany(keys) {
    return keys.map((key) => this.#has(key));
  }

  #has(key) {
    const info = this.cache.info(shortKey(this.cache, key));
    return info !== undefined && !isOver(info);
  }

  async set(key, value, ttl) {
    return this.#set(key, value, ttl);
  }

  async setMany(entries) {
    return entries.map(({ key, value, ttl }) => this.#set(key, value, ttl));
  }

  /** Returns whether the value was stored, which Keyv passes to its caller. */
  #set(key, value, ttl) {
    try {
      this.cache.set(shortKey(this.cache, key), value, toOptions(ttl));
      return true;
    } catch (error) {
      if (isNoRoom(error)) return false;
      throw error;
    }
  }

  async delete(key) {
    return this.cache.delete(shortKey(this.cache, key));
  }

  async deleteMany(keys) {
    return this.cache.deleteMany(keys.map((key) => shortKey(this.cache, key))) > 0;
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

  async disconnect() {
    if (this.#own) this.cache.close();
  }

  #prefix(namespace) {
    return namespace ? `${namespace}:` : '';
  }
}

module.exports = { KeyvMemcache };
