// A store for Keyv, in this process.
'use strict';

const { EventEmitter } = require('node:events');
const { clear, isNoRoom, keysUnder, lasting, opened, optionalNumber, short } = require('./shared.js');

/** Milliseconds of which 32 bits can tell whether they are over. */
const SOON = 2 ** 31;

/**
 * A time to live of Keyv, as a cache has it. As in Keyv, none, 0 and NaN are for ever, and a negative one is over.
 *
 * The cache counts seconds. Keyv looks at the milliseconds where it reads a value, and asks the store where it does not, so the
 * low 32 bits of the moment stand in the item's flags. 0 stands for a moment that is far away.
 */
function lifetime(ttl) {
  const milliseconds = optionalNumber('ttl', ttl) || undefined;
  if (milliseconds === undefined) return {};
  if (milliseconds < 0) return { ttl: 0 };
  return { ttl: lasting(milliseconds), flags: milliseconds < SOON ? (Date.now() + milliseconds) >>> 0 || 1 : 0 };
}

/** Whether an item's moment is over, though its last second is not. */
function isOver({ flags }) {
  return flags !== 0 && (Date.now() - flags) >>> 0 < SOON;
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
    return this.#has(key);
  }

  async hasMany(keys) {
    return keys.map((key) => this.#has(key));
  }

  #has(key) {
    const item = this.cache.getItem(short(key));
    return item !== undefined && !isOver(item);
  }

  async set(key, value, ttl) {
    return this.#set(key, value, ttl);
  }

  async setMany(entries) {
    return entries.map(({ key, value, ttl }) => this.#set(key, value, ttl));
  }

  /** Whether it is stored: Keyv gives that to its caller, who goes on with the value. */
  #set(key, value, ttl) {
    try {
      this.cache.set(short(key), value, lifetime(ttl));
      return true;
    } catch (error) {
      if (isNoRoom(error)) return false;
      throw error;
    }
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
