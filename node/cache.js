// The cache in this process. What is hot is a bare function of the addon that knows its cache; it answers with numbers, and
// puts values that are not large into a slab of memory that it is given, from which they are cut here.
'use strict';

const { inspect, types } = require('node:util');
const { markAsUntransferable } = require('node:worker_threads');
const native = require('./native.js').load();
const { branded } = require('./brand.js');
const { Clock } = require('./clock.js');
const { call, classes, refined } = require('./errors.js');
const { board } = require('./flights.js');
const { checkNames } = require('./options.js');
const { stats } = require('./stats.js');

// What the addon answers in place of a length.
const MISS = -1;
const TAKEN = -2;

// Modes of a store, by the addon's numbers.
const ADD = 1;
const REPLACE = 2;
const APPEND = 3;
const PREPEND = 4;
const CAS = 5;

/** Values up to this length go into the slab, as the addon decides. */
const SMALL = 4096;

/** Bytes of a slab. */
const SLAB = 32 * 1024;

/** What Buffers are made by, without the looks that Buffer.from has at its arguments. */
const Octets = Buffer[Symbol.species];

const EMPTY = Buffer.alloc(0);

const OPTIONS = { name: 'string', memoryLimit: 'number', itemSizeMax: 'number', evictions: 'boolean' };
const NAMES = new Set(Object.keys(OPTIONS));

// Names of the options of methods.
const OF_STORE = new Set(['ttl', 'flags']);
const OF_COUNT = new Set(['initial', 'ttl']);
const OF_FLIGHT = new Set(['ttl', 'staleFor']);

function wrongSetting(text) {
  return new classes.ConfigError(text);
}

function checked(options) {
  checkNames(options, NAMES, 'a cache', wrongSetting);
  for (const name of NAMES) {
    const value = options[name];
    if (value !== undefined && typeof value !== OPTIONS[name]) {
      throw wrongSetting(`${name} is a ${OPTIONS[name]}, not ${inspect(value)}`);
    }
  }
}

/** Whether it is an object with options of `of`, which are checked, and not a time to live alone. */
function isOptions(options, known, of) {
  if (typeof options !== 'object' || options === null || types.isDate(options)) return false;
  checkNames(options, known, of);
  return true;
}

/** A time to live by so many seconds longer. */
function later(ttl, seconds) {
  if (ttl === undefined || ttl === null || seconds === undefined) return ttl;
  return types.isDate(ttl) ? new Date(Number(ttl) + seconds * 1000) : ttl + seconds;
}

/** By which copies of this package find the addon's object of a cache. */
const NATIVE = Symbol.for('memcache-rs.native');

/** The addon's object of a cache, for a server. */
function nativeOf(cache) {
  const found = typeof cache === 'object' && cache !== null ? cache[NATIVE] : undefined;
  if (found instanceof native.Cache) return found;
  throw wrongSetting(
    cache instanceof Cache
      ? 'cache is a Cache of another installation of memcache-rs, which cannot be shared; install the package once'
      : `cache is a Cache, not ${inspect(cache)}`,
  );
}

/**
 * Why a value that was made is not kept. Its makers get it all the same: it is the cache that has no room for it, or that is
 * closed.
 */
const NOT_KEPT = new Set(
  [classes.ValueTooLargeError, classes.OutOfMemoryError, classes.ClosedError].map(({ code }) => code),
);

class Cache {
  #native;
  #name;
  // Bare functions of the addon.
  #get;
  #getAndTouch;
  #getInto;
  #getString;
  #gets;
  #getItem;
  #lease;
  #taken;
  #has;
  #set;
  #store;
  #count;
  #touch;
  #delete;
  #invalidate;
  #getMany;
  /** Where the addon puts values, its memory, how much of it is used, and, in cells of 64 bits, what more the addon knows. */
  #slab = EMPTY;
  #memory = EMPTY.buffer;
  #used = 0;
  #cells;
  /** Of which key a value is being made right now, before its maker has waited for anything. */
  #making;

  constructor(options = {}) {
    checked(options);
    this.#native = call(() => new native.Cache(options));
    this.#name = options.name;
    const functions = this.#native.functions();
    this.#get = functions.get;
    this.#getAndTouch = functions.getAndTouch;
    this.#getInto = functions.getInto;
    this.#getString = functions.getString;
    this.#gets = functions.gets;
    this.#getItem = functions.getItem;
    this.#lease = functions.lease;
    this.#taken = functions.taken;
    this.#has = functions.has;
    this.#set = functions.set;
    this.#store = functions.store;
    this.#count = functions.count;
    this.#touch = functions.touch;
    this.#delete = functions.delete;
    this.#invalidate = functions.invalidate;
    this.#getMany = functions.getMany;
    this.#cells = new BigUint64Array(functions.cells);
  }

  get [NATIVE]() {
    return this.#native;
  }

  // Answers of the addon.

  /** Throws why the addon refused. */
  #refuse(above) {
    try {
      this.#native.failure();
    } catch (error) {
      throw refined(error, above);
    }
  }

  /** A value by the addon's answer. */
  #value(answer, above) {
    if (answer >= 0) {
      const at = this.#used;
      this.#used = at + answer;
      return new Octets(this.#memory, at, answer);
    }
    if (answer === MISS) return undefined;
    if (answer !== TAKEN) this.#refuse(above);
    const value = this.#taken();
    if (value.length <= SMALL) {
      // It is full, or somebody has detached it.
      const slab = Buffer.allocUnsafeSlow(SLAB);
      // Who sent one of the Buffers cut from it to another thread would take all others along.
      markAsUntransferable(slab.buffer);
      this.#renew(slab);
    }
    return value;
  }

  #renew(slab) {
    this.#slab = slab;
    this.#memory = slab.buffer;
    this.#used = 0;
  }

  #yes(answer, above) {
    if (answer < MISS) this.#refuse(above);
    return answer === 1;
  }

  #put(mode, key, value, options, cas, above) {
    let ttl = options;
    let flags;
    if (isOptions(options, OF_STORE, above.name)) ({ ttl, flags } = options);
    const answer = this.#store(key, value, ttl, flags, mode, cas);
    if (answer < MISS) this.#refuse(above);
    return answer;
  }

  // Reading.

  get(key) {
    return this.#value(this.#get(key, this.#slab, this.#used), this.get);
  }

  getString(key) {
    const answer = this.#getString(key);
    if (typeof answer === 'string') return answer;
    if (answer !== MISS) this.#refuse(this.getString);
    return undefined;
  }

  getInto(key, buffer) {
    const answer = this.#getInto(key, buffer);
    if (answer < MISS) this.#refuse(this.getInto);
    return answer;
  }

  getAndTouch(key, ttl) {
    return this.#value(this.#getAndTouch(key, this.#slab, this.#used, ttl), this.getAndTouch);
  }

  gets(key) {
    const value = this.#value(this.#gets(key, this.#slab, this.#used), this.gets);
    return value === undefined ? undefined : { value, cas: this.#cells[0] };
  }

  getItem(key) {
    const value = this.#value(this.#getItem(key, this.#slab, this.#used), this.getItem);
    if (value === undefined) return undefined;
    const [cas, flags, ttl, idle, state] = this.#cells;
    return {
      value,
      flags: Number(flags),
      cas,
      ttl: ttl >> 32n === 0n ? Number(ttl) : undefined,
      idle: Number(idle),
      fetched: (state & 1n) === 1n,
      stale: (state & 2n) === 2n,
    };
  }

  getMany(keys) {
    // Whatever it is, it is read once.
    const list = [...keys];
    const all = this.#getMany(list);
    if (typeof all === 'number') this.#refuse(this.getMany);
    const { buffer, byteOffset } = all;
    markAsUntransferable(buffer);
    const lengths = new Int32Array(buffer, byteOffset, list.length);
    const found = new Map();
    let at = byteOffset + list.length * 4;
    for (let index = 0; index < list.length; index += 1) {
      const length = lengths[index];
      if (length === MISS) continue;
      found.set(list[index], new Octets(buffer, at, length));
      at += length;
    }
    return found;
  }

  has(key) {
    return this.#yes(this.#has(key), this.has);
  }

  // Writing.

  set(key, value, options) {
    const answer = isOptions(options, OF_STORE, 'set')
      ? this.#set(key, value, options.ttl, options.flags)
      : this.#set(key, value, options);
    if (answer < MISS) this.#refuse(this.set);
  }

  setMany(values, options) {
    const pairs = typeof values[Symbol.iterator] === 'function' ? values : Object.entries(values);
    for (const [key, value] of pairs) this.set(key, value, options);
  }

  add(key, value, options) {
    return this.#put(ADD, key, value, options, undefined, this.add) === 1;
  }

  replace(key, value, options) {
    return this.#put(REPLACE, key, value, options, undefined, this.replace) === 1;
  }

  append(key, value) {
    return this.#put(APPEND, key, value, undefined, undefined, this.append) === 1;
  }

  prepend(key, value) {
    return this.#put(PREPEND, key, value, undefined, undefined, this.prepend) === 1;
  }

  cas(key, value, cas, options) {
    const answer = this.#put(CAS, key, value, options, cas, this.cas);
    return answer === MISS ? undefined : answer === 1;
  }

  incr(key, delta, options = {}) {
    checkNames(options, OF_COUNT, 'incr');
    const { initial, ttl } = options;
    return this.#counted(this.#count(key, 1, delta, initial, ttl), this.incr);
  }

  decr(key, delta, options = {}) {
    checkNames(options, OF_COUNT, 'decr');
    const { initial, ttl } = options;
    return this.#counted(this.#count(key, 0, delta, initial, ttl), this.decr);
  }

  #counted(answer, above) {
    if (answer < MISS) this.#refuse(above);
    return answer === MISS ? undefined : answer;
  }

  touch(key, ttl) {
    return this.#yes(this.#touch(key, ttl), this.touch);
  }

  delete(key) {
    return this.#yes(this.#delete(key), this.delete);
  }

  deleteMany(keys) {
    let deleted = 0;
    for (const key of keys) if (this.delete(key)) deleted += 1;
    return deleted;
  }

  invalidate(key, ttl) {
    return this.#yes(this.#invalidate(key, ttl), this.invalidate);
  }

  flush() {
    call(() => this.#native.flush());
  }

  // One flight.

  async getOrSet(key, make, options) {
    const { ttl, staleFor } = isOptions(options, OF_FLIGHT, 'getOrSet') ? options : { ttl: options };
    const lasting = later(ttl, staleFor);
    // It refuses times that are none, before anything is made.
    const answer = this.#lease(key, this.#slab, this.#used, staleFor, lasting);
    const won = this.#cells[0] === 1n;
    const value = this.#value(answer, this.getOrSet);
    const name = Buffer.from(key);
    const text = name.latin1Slice();
    if (value !== undefined) return won ? this.#renewed(name, text, make, lasting) : value;
    for (;;) {
      const { flight, arrival } = call(() => board(native, this.#native, name));
      if (flight !== undefined) return this.#made(flight, name, text, make, lasting);
      if (this.#making === text) {
        throw new classes.MemcacheError(`making the value of ${inspect(key)} asks for the value of ${inspect(key)}`);
      }
      const landed = await arrival;
      if (landed !== undefined) return landed;
    }
  }

  async #made(flight, name, text, make, ttl) {
    let value;
    try {
      // The flight before this one may have ended between the look and the start.
      value = this.get(name) ?? (await this.#stored(name, text, make, ttl));
    } finally {
      flight.land(value);
    }
    return value;
  }

  async #renewed(name, text, make, ttl) {
    const renewal = call(() => this.#native.renew(name));
    try {
      const value = await this.#stored(name, text, make, ttl);
      renewal.done();
      return value;
    } catch (error) {
      // The next caller wins in place of this one.
      renewal.fail();
      throw error;
    }
  }

  /** Makes a value and keeps it if the cache can. */
  async #stored(name, text, make, ttl) {
    const before = this.#making;
    this.#making = text;
    let making;
    try {
      making = make();
    } finally {
      this.#making = before;
    }
    const value = await making;
    try {
      this.set(name, value, ttl);
    } catch (error) {
      if (!NOT_KEPT.has(error.code)) throw error;
    }
    // Not the maker's own memory, which it may change.
    return Buffer.from(value);
  }

  // All of it.

  get size() {
    return call(() => this.#native.size());
  }

  *keys() {
    const all = call(() => this.#native.keys());
    for (let at = 0; at < all.length; ) {
      const end = at + 1 + all[at];
      yield all.subarray(at + 1, end);
      at = end;
    }
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  *entries() {
    for (const key of this.keys()) {
      const value = this.get(key);
      if (value !== undefined) yield [key, value];
    }
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  stats(group = '') {
    return stats(call(() => this.#native.stats(group)));
  }

  get clock() {
    return new Clock(call(() => this.#native.clock()));
  }

  get name() {
    return this.#name;
  }

  close() {
    this.#native.close();
    this.#renew(EMPTY);
  }

  get closed() {
    return this.#native.closed();
  }

  [Symbol.dispose]() {
    this.close();
  }

  [inspect.custom]() {
    return this.closed ? '<Cache, closed>' : `<Cache of ${this.size} items>`;
  }
}

module.exports = { Cache: branded(Cache), nativeOf };
