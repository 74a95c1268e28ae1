// A store for express-session, in this process.
'use strict';

const { peer } = require('../peer.js');
const { clear, keysUnder, opened, short, span } = require('./shared.js');

const { Store } = peer('express-session');

/** Seconds that a session lives whose cookie ends with the browser: a day. */
const DAY = 86_400;

class MemcacheStore extends Store {
  #own;
  #prefix;
  #ttl;

  constructor({ prefix = 'sess:', ttl = DAY, ...options } = {}) {
    super();
    const { cache, own } = opened(options);
    this.cache = cache;
    this.#own = own;
    this.#prefix = prefix;
    this.#ttl = ttl;
  }

  get(sid, callback) {
    answer(callback, () => this.#read(this.#key(sid)));
  }

  set(sid, session, callback) {
    answer(callback, () => {
      const ttl = this.#left(session);
      if (ttl > 0) this.cache.set(this.#key(sid), JSON.stringify(session), span(ttl));
      else this.cache.delete(this.#key(sid));
    });
  }

  /** The session lives on, as long as its cookie. What is stored stays, so that no other request's changes are lost. */
  touch(sid, session, callback) {
    answer(callback, () => void this.cache.touch(this.#key(sid), span(this.#left(session))));
  }

  destroy(sid, callback) {
    answer(callback, () => void this.cache.delete(this.#key(sid)));
  }

  all(callback) {
    answer(callback, () => {
      const sessions = Object.create(null);
      for (const key of keysUnder(this.cache, this.#prefix)) {
        const session = this.#read(key);
        if (session !== undefined) sessions[key.toString().slice(this.#prefix.length)] = session;
      }
      return sessions;
    });
  }

  length(callback) {
    answer(callback, () => [...keysUnder(this.cache, this.#prefix)].length);
  }

  clear(callback) {
    answer(callback, () => clear(this.cache, this.#prefix));
  }

  /** Closes the cache, if it is this store's own. */
  close() {
    if (this.#own) this.cache.close();
  }

  #key(sid) {
    return short(this.#prefix + sid);
  }

  #read(key) {
    const text = this.cache.getString(key);
    return text === undefined ? undefined : JSON.parse(text);
  }

  /** Seconds until the session is over. */
  #left({ cookie }) {
    const expires = cookie?.expires;
    if (expires === undefined || expires === null) return this.#ttl;
    return Math.max(0, Math.ceil((new Date(expires) - Date.now()) / 1000));
  }
}

/** Does it now, and tells whoever asked a moment later, as they expect of a store. */
function answer(callback, work) {
  let value;
  try {
    value = work();
  } catch (error) {
    if (callback === undefined) throw error;
    process.nextTick(callback, error);
    return;
  }
  if (callback !== undefined) process.nextTick(callback, null, value);
}

module.exports = { MemcacheStore };
