// A store for the cache interceptor of undici, in this process. undici.d.ts documents it.
//
// An item begins with its kind:
//
//   RESPONSE   the length of the head (4 bytes), the head as JSON, the body
//   NAMES      JSON: the names of request headers by which the responses of a URL vary, and an id.
//              Each response then has an item whose key is a hash of the id and those headers.
//
// Removing the names removes all responses of a URL, because the next names have another id.
'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { Writable } = require('node:stream');
const { inspect } = require('node:util');
const { classes } = require('../errors.js');
const { isNoRoom, openCache, shortKey, toCacheTtl } = require('./shared.js');

const RESPONSE = 1;
const NAMES = 2;

/** Bytes before the head of a response. */
const START = 5;

class MemcacheCacheStore {
  #own;
  #prefix;
  /** A longer response is not collected, because no item has more bytes. */
  #itemSizeMax;

  constructor({ prefix = 'http:', ...options } = {}) {
    if (typeof prefix !== 'string') throw new classes.ConfigError(`prefix must be a string, got ${inspect(prefix)}`);
    const { cache, own } = openCache(options);
    this.cache = cache;
    this.#own = own;
    this.#prefix = prefix;
    this.#itemSizeMax = cache.stats('settings').item_size_max;
  }

  get(request) {
    const url = this.#keyOf(request);
    let value = this.cache.get(url);
    if (value?.[0] === NAMES) value = this.cache.get(this.#keyOfVariant(request, parseNames(value)));
    return value?.[0] === RESPONSE ? parseResponse(value) : undefined;
  }

  createWriteStream(request, response) {
    const chunks = headOf(response);
    let size = chunks.reduce((sum, { length }) => sum + length, 0);
    const store = this;
    return new Writable({
      write(chunk, _, callback) {
        size += chunk.length;
        if (size <= store.#itemSizeMax) chunks.push(chunk);
        else {
          // The caller then writes no more, and does not end the stream.
          store.#remove(request);
          this.destroy();
        }
        callback();
      },
      final(callback) {
        store.#store(request, response, Buffer.concat(chunks, size));
        callback();
      },
    });
  }

  delete(request) {
    this.#try(() => this.cache.delete(this.#keyOf(request)));
  }

  close() {
    if (this.#own) this.cache.close();
  }

  #keyOf({ method, origin, path }) {
    return shortKey(this.cache, `${this.#prefix}${method}:${origin}${path}`);
  }

  #keyOfVariant({ headers = {} }, { id, names }) {
    const values = names.map((name) => headers[name] ?? null);
    return (
      this.#prefix +
      createHash('sha256')
        .update(JSON.stringify([id, values]))
        .digest('hex')
    );
  }

  #store(request, { vary, deleteAt }, value) {
    const ttl = toCacheTtl(Math.max(0, deleteAt - Date.now()));
    const url = this.#keyOf(request);
    const names = Object.keys(vary ?? {});
    this.#try(() => {
      const key = names.length === 0 ? url : this.#keyOfVariant(request, this.#addNames(url, names, ttl));
      this.cache.set(key, value, ttl);
    });
  }

  /** Removes the response to a request. Those that vary from it stay. */
  #remove(request) {
    this.#try(() => {
      const url = this.#keyOf(request);
      const value = this.cache.get(url);
      this.cache.delete(value?.[0] === NAMES ? this.#keyOfVariant(request, parseNames(value)) : url);
    });
  }

  /** Changes the cache. If it is full or closed, the response under way does not fail. */
  #try(change) {
    try {
      change();
    } catch (error) {
      if (!isNoRoom(error) && !this.cache.closed) throw error;
    }
  }

  /** Adds names of headers to those of a URL, for at least `ttl`, and returns all. */
  #addNames(url, names, ttl) {
    for (;;) {
      const item = this.cache.getItem(url);
      const known = item?.value[0] === NAMES ? parseNames(item.value) : undefined;
      const all = {
        id: known?.id ?? randomUUID(),
        names: [...new Set([...(known?.names ?? []), ...names])].sort(),
      };
      const value = Buffer.from(`\x02${JSON.stringify(all)}`);
      // Other responses of the URL may end later.
      const longest = known === undefined ? ttl : longer(ttl, item.ttl);
      // Other threads may store names at the same time.
      const isStored =
        item === undefined ? this.cache.add(url, value, longest) : this.cache.cas(url, value, item.cas, longest);
      if (isStored) return all;
    }
  }
}

/** Returns the longer TTL. Undefined means no expiry. */
function longer(one, two) {
  return one === undefined || two === undefined ? undefined : Math.max(one, two);
}

/** Returns the bytes before the body of a response. */
function headOf(response) {
  const head = Buffer.from(JSON.stringify(response));
  const start = Buffer.alloc(START);
  start[0] = RESPONSE;
  start.writeUInt32BE(head.length, 1);
  return [start, head];
}

/** Parses a response. Returns undefined after its end, by the millisecond. */
function parseResponse(value) {
  const end = START + value.readUInt32BE(1);
  const response = JSON.parse(value.toString('utf8', START, end));
  return response.deleteAt > Date.now() ? { ...response, body: [value.subarray(end)] } : undefined;
}

function parseNames(value) {
  return JSON.parse(value.toString('utf8', 1));
}

module.exports = { MemcacheCacheStore };
