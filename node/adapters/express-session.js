// A store for express-session, in this process. express-session.d.ts documents it.
'use strict';

const { inspect } = require('node:util');
const { classes } = require('../errors.js');
const { requirePeer } = require('../resolve-peer.js');
const { clear, keysUnder, openCache, shortKey, toCacheTtl, upToCentury } = require('./shared.js');

const { Store } = requirePeer('express-session');

/** Read when the module loads, because a test runner may replace it. */
const { nextTick } = process;

/** Default lifetime, in seconds, of a session whose cookie ends with the browser. */
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
    const { cache, own } = openCache(options);
    this.cache = cache;
    this.#own = own;
    this.#prefix = prefix;
    this.#ttl = upToCentury(ttl);
  }

  get(sid, callback) {
    reply(callback, () => parse(this.cache.getString(this.#key(sid))));
  }

  set(sid, session, callback) {
    reply(callback, () => {
      this.cache.set(this.#key(sid), JSON.stringify(session), this.#ttlOf(session));
    });
  }

  /** Stores the new end of the cookie, and changes nothing else. */
  touch(sid, { cookie }, callback) {
    reply(callback, () => {
      const key = this.#key(sid);
      const found = this.cache.gets(key);
      const session = parse(found?.value.toString());
      // A store of the session since then has set its lifetime, too.
      if (session) this.cache.cas(key, JSON.stringify({ ...session, cookie }), found.cas, this.#ttlOf({ cookie }));
    });
  }

  destroy(sid, callback) {
    reply(callback, () => {
      this.cache.delete(this.#key(sid));
    });
  }

  all(callback) {
    reply(callback, () => this.#all());
  }

  length(callback) {
    reply(callback, () => Object.keys(this.#all()).length);
  }

  clear(callback) {
    reply(callback, () => clear(this.cache, this.#prefix));
  }

  close() {
    if (this.#own) this.cache.close();
  }

  #key(sid) {
    return shortKey(this.cache, this.#prefix + sid);
  }

  #all() {
    const sessions = Object.create(null);
    for (const key of keysUnder(this.cache, this.#prefix)) {
      const session = parse(this.cache.getString(key));
      if (session) sessions[key.toString().slice(this.#prefix.length)] = session;
    }
    return sessions;
  }

  #ttlOf({ cookie }) {
    const end = endOf(cookie);
    return end === undefined ? this.#ttl : toCacheTtl(Math.max(0, end - Date.now()));
  }
}

/** Returns when a cookie ends, in milliseconds. As in MemoryStore, an invalid Date is ignored. */
function endOf(cookie) {
  const end = cookie?.expires ? Number(new Date(cookie.expires)) : Number.NaN;
  return Number.isNaN(end) ? undefined : end;
}

/** Parses a stored session. Returns undefined if its cookie has ended. */
function parse(text) {
  if (text === undefined) return undefined;
  const session = JSON.parse(text);
  const end = endOf(session.cookie);
  return end === undefined || end > Date.now() ? session : undefined;
}

/** Does the work now and calls back in the next tick, as callers of a store expect. */
function reply(callback, work) {
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
