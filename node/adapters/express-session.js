// A store for express-session, in this process.
'use strict';

const { inspect } = require('node:util');
const { classes } = require('../errors.js');
const { peer } = require('../peer.js');
const { clear, keysUnder, lasting, opened, short, upToCentury } = require('./shared.js');

const { Store } = peer('express-session');

/** As it is when this is loaded: a test runner may stop it. */
const { nextTick } = process;

/** Seconds that a session lives whose cookie ends with the browser: a day. */
const DAY = 86_400;

class MemcacheStore extends Store {
  #own;
  #prefix;
  #ttl;

  constructor({ prefix = 'sess:', ttl = DAY, ...options } = {}) {
    super();
    if (typeof prefix !== 'string') throw new classes.ConfigError(`prefix must be a string, got ${inspect(prefix)}`);
    if (!(typeof ttl === 'number' && ttl > 0)) {
      throw new classes.ConfigError(`ttl must be a number of seconds above 0, got ${inspect(ttl)}`);
    }
    const { cache, own } = opened(options);
    this.cache = cache;
    this.#own = own;
    this.#prefix = prefix;
    this.#ttl = upToCentury(ttl);
  }

  get(sid, callback) {
    answer(callback, () => living(this.cache.getString(this.#key(sid))));
  }

  set(sid, session, callback) {
    answer(callback, () => {
      this.cache.set(this.#key(sid), JSON.stringify(session), this.#ttlOf(session));
    });
  }

  /** The session lives on, as long as its cookie does now. Nothing else changes. */
  touch(sid, { cookie }, callback) {
    answer(callback, () => {
      const key = this.#key(sid);
      const found = this.cache.gets(key);
      const session = living(found?.value.toString());
      // Whoever has stored it since has seen to its life, too.
      if (session) this.cache.cas(key, JSON.stringify({ ...session, cookie }), found.cas, this.#ttlOf({ cookie }));
    });
  }

  destroy(sid, callback) {
    answer(callback, () => {
      this.cache.delete(this.#key(sid));
    });
  }

  all(callback) {
    answer(callback, () => this.#all());
  }

  length(callback) {
    answer(callback, () => Object.keys(this.#all()).length);
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

  #all() {
    const sessions = Object.create(null);
    for (const key of keysUnder(this.cache, this.#prefix)) {
      const session = living(this.cache.getString(key));
      if (session) sessions[key.toString().slice(this.#prefix.length)] = session;
    }
    return sessions;
  }

  #ttlOf({ cookie }) {
    const end = endOf(cookie);
    return end === undefined ? this.#ttl : lasting(Math.max(0, end - Date.now()));
  }
}

/** The millisecond at which a cookie ends. Null, false and a Date that is none are no end, as in MemoryStore. */
function endOf(cookie) {
  const end = cookie?.expires ? Number(new Date(cookie.expires)) : Number.NaN;
  return Number.isNaN(end) ? undefined : end;
}

/** A session, of what is stored, unless its cookie is over. */
function living(text) {
  if (text === undefined) return undefined;
  const session = JSON.parse(text);
  const end = endOf(session.cookie);
  return end === undefined || end > Date.now() ? session : undefined;
}

/** Does it now, and tells whoever asked a moment later, as they expect of a store. */
function answer(callback, work) {
  let value;
  try {
    value = work();
  } catch (error) {
    if (callback === undefined) throw error;
    nextTick(callback, error);
    return;
  }
  if (callback !== undefined) nextTick(callback, null, value);
}

module.exports = { MemcacheStore };
