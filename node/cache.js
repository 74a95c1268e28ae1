// The in-process cache. index.d.ts documents the class.
//
// Frequent calls are bare functions of the addon that know their cache. They answer with numbers.
// They copy small values into a slab of memory that comes with the call, and this file makes
// Buffers of its parts.
'use strict';

const { inspect, types } = require('node:util');
const { markAsUntransferable } = require('node:worker_threads');
const native = require('./native.js').load();
const { branded } = require('./brand.js');
const { Clock } = require('./clock.js');
const { call, classes, toPublicError } = require('./errors.js');
const { checkMost, checkNames, checkType, defined, toSettings, typeError } = require('./options.js');
const { join } = require('./single-flight.js');
const snapshot = require('./snapshot.js');

// Answers of the addon in place of a length.
const MISS = -1;
const LARGE = -2;

// Modes of a store, by the addon's numbers.
const ADD = 1;
const REPLACE = 2;
const APPEND = 3;
const PREPEND = 4;
const CAS = 5;

/** Largest value that the addon copies into a slab. */
const SLAB_VALUE_MAX = 4096;

/** Bytes of a slab. */
const SLAB_SIZE = 32 * 1024;

/** The constructor behind Buffer.from, without that function's checks of its arguments. */
const FastBuffer = Buffer[Symbol.species];

const EMPTY = Buffer.alloc(0);

const OPTIONS = {
  name: 'string',
  memoryLimit: 'number',
  itemSizeMax: 'number',
  evictions: 'boolean',
  settings: 'object',
};
const NAMES = new Set(Object.keys(OPTIONS));

// Names of the options of methods.
const STORE_OPTIONS = new Set(['ttl', 'flags']);
const COUNT_OPTIONS = new Set(['initial', 'ttl', 'bigint']);
const FLIGHT_OPTIONS = new Set(['ttl', 'staleFor']);

function configError(text) {
  return new classes.ConfigError(text);
}

function checkOptions(options) {
  checkNames(options, NAMES, 'a cache', configError);
  for (const name of NAMES) {
    const value = options[name];
    if (value !== undefined && typeof value !== OPTIONS[name]) {
      throw configError(`${name} must be a ${OPTIONS[name]}, got ${inspect(value)}`);
    }
  }
}

/** Returns whether an argument is an object of options, and not a TTL. Checks the names then. */
function isOptions(options, known, of) {
  if (typeof options !== 'object' || options === null || types.isDate(options)) return false;
  checkNames(options, known, of);
  return true;
}

/** Returns a TTL that is longer by `seconds`. */
function extend(ttl, seconds) {
  if (ttl === undefined || ttl === null || seconds === undefined) return ttl;
  return types.isDate(ttl) ? new Date(Number(ttl) + seconds * 1000) : ttl + seconds;
}

/** The property by which copies of this package find the addon's object of a cache. */
const NATIVE = Symbol.for('memcache-rs.native');

/** Returns the addon's object of a cache, for a server. */
function nativeOf(cache) {
  const found = typeof cache === 'object' && cache !== null ? cache[NATIVE] : undefined;
  if (found instanceof native.Cache) return found;
  throw configError(
    cache instanceof Cache
      ? 'cache must be a Cache of this installation of memcache-rs, got one of another: install the package once'
      : `cache must be a Cache, got ${inspect(cache)}`,
  );
}

/** Codes of errors after which getOrSet returns a value that it could not store. */
const NOT_KEPT = new Set(
  [classes.ValueTooLargeError, classes.OutOfMemoryError, classes.ClosedError].map(({ code }) => code),
);

/** The argument of the constructor for a namespace. */
class NamespaceOf {
  constructor(native, outer) {
    this.native = native;
    this.outer = outer;
  }
}

class Cache {
  #native;
  #name;
  /** The object that a namespace came from. The addon needs it as long as this one. */
  #outer;
  #prefix = EMPTY;
  /** The bare functions of the addon. */
  #calls;
  /** The slab, its memory, the number of its bytes in use. */
  #slab = EMPTY;
  #memory = EMPTY.buffer;
  #used = 0;
  /** Further results of the last call, of 64 bits each. */
  #cells;
  /** The key whose value is being made, until its maker first waits. */
  #making;

  constructor(options = {}) {
    if (options instanceof NamespaceOf) {
      this.#native = options.native;
      this.#outer = options.outer;
      this.#name = this.#outer.name;
      this.#prefix = this.#native.prefix();
    } else {
      checkOptions(options);
      const { name, settings, ...named } = options;
      const list = toSettings({ ...settings, ...defined(named) }, configError);
      this.#native = call(() => new native.Cache({ name, settings: list }));
      this.#name = name;
    }
    const { cells, ...calls } = this.#native.functions();
    this.#calls = Object.freeze(calls);
    this.#cells = new BigUint64Array(cells);
  }

  get [NATIVE]() {
    return this.#native;
  }

  // Answers of the addon.

  /** Throws the error of the last call. */
  #refuse(callerFrame) {
    try {
      this.#native.failure();
    } catch (error) {
      throw toPublicError(error, callerFrame);
    }
  }

  /** Returns the value that an answer stands for. */
  #value(answer, callerFrame) {
    if (answer >= 0) {
      const at = this.#used;
      this.#used = at + answer;
      return new FastBuffer(this.#memory, at, answer);
    }
    if (answer === MISS) return undefined;
    if (answer !== LARGE) this.#refuse(callerFrame);
    const value = this.#calls.takeLarge();
    // A small value did not fit because the slab is full, or was detached.
    if (value.length <= SLAB_VALUE_MAX) this.#newSlab();
    return value;
  }

  #newSlab() {
    const slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
    // Transferring one of its Buffers to another thread would take the others along.
    markAsUntransferable(slab.buffer);
    this.#useSlab(slab);
  }

  #useSlab(slab) {
    this.#slab = slab;
    this.#memory = slab.buffer;
    this.#used = 0;
  }

  /** Reads the metadata in the cells. */
  #info() {
    const [cas, flags, ttl, idle, state, length] = this.#cells;
    return {
      flags: Number(flags),
      cas,
      ttl: ttl >> 32n === 0n ? Number(ttl) : undefined,
      idle: Number(idle),
      length: Number(length),
      fetched: (state & 1n) === 1n,
      stale: (state & 2n) === 2n,
    };
  }

  #yes(answer, callerFrame) {
    if (answer < MISS) this.#refuse(callerFrame);
    return answer === 1;
  }

  #put(mode, key, value, options, cas, callerFrame) {
    let ttl = options;
    let flags;
    if (isOptions(options, STORE_OPTIONS, callerFrame.name)) ({ ttl, flags } = options);
    const answer = this.#calls.store(key, value, ttl, flags, mode, cas);
    if (answer < MISS) this.#refuse(callerFrame);
    return answer;
  }

  // Reading.

  get(key) {
    return this.#value(this.#calls.get(key, this.#slab, this.#used), this.get);
  }

  getString(key) {
    const answer = this.#calls.getString(key);
    if (typeof answer === 'string') return answer;
    if (answer !== MISS) this.#refuse(this.getString);
    return undefined;
  }

  getInto(key, buffer) {
    const answer = this.#calls.getInto(key, buffer);
    if (answer < MISS) this.#refuse(this.getInto);
    return answer;
  }

  getAndTouch(key, ttl) {
    return this.#value(this.#calls.getAndTouch(key, this.#slab, this.#used, ttl), this.getAndTouch);
  }

  gets(key) {
    const value = this.#value(this.#calls.gets(key, this.#slab, this.#used), this.gets);
    return value === undefined ? undefined : { value, cas: this.#cells[0] };
  }

  getItem(key) {
    const value = this.#value(this.#calls.getItem(key, this.#slab, this.#used), this.getItem);
    return value === undefined ? undefined : { value, ...this.#info() };
  }

  info(key) {
    return this.#yes(this.#calls.info(key), this.info) ? this.#info() : undefined;
  }

  getMany(keys) {
    // An iterable may be read once only.
    const list = [...keys];
    const all = this.#calls.getMany(list);
    if (typeof all === 'number') this.#refuse(this.getMany);
    const { buffer, byteOffset } = all;
    markAsUntransferable(buffer);
    const lengths = new Int32Array(buffer, byteOffset, list.length);
    const found = new Map();
    let at = byteOffset + list.length * 4;
    for (let index = 0; index < list.length; index += 1) {
      const length = lengths[index];
      if (length === MISS) continue;
      found.set(list[index], new FastBuffer(buffer, at, length));
      at += length;
    }
    return found;
  }

  has(key) {
    return this.#yes(this.#calls.has(key), this.has);
  }

  // Writing.

  set(key, value, options) {
    let ttl = options;
    let flags;
    if (isOptions(options, STORE_OPTIONS, 'set')) ({ ttl, flags } = options);
    // With two call sites a set took 5% longer.
    const answer = this.#calls.set(key, value, ttl, flags);
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
    return this.#count(this.#calls.incr, key, delta, options, this.incr);
  }

  decr(key, delta, options = {}) {
    return this.#count(this.#calls.decr, key, delta, options, this.decr);
  }

  #count(count, key, delta, options, callerFrame) {
    checkNames(options, COUNT_OPTIONS, callerFrame.name);
    const { initial, ttl, bigint } = options;
    if (bigint !== undefined) checkType('bigint', bigint, 'boolean');
    const answer = count(key, delta, initial, ttl, bigint);
    if (answer < MISS) this.#refuse(callerFrame);
    return answer === MISS ? undefined : answer;
  }

  touch(key, ttl) {
    return this.#yes(this.#calls.touch(key, ttl), this.touch);
  }

  delete(key) {
    return this.#yes(this.#calls.delete(key), this.delete);
  }

  deleteMany(keys) {
    let deleted = 0;
    for (const key of keys) if (this.delete(key)) deleted += 1;
    return deleted;
  }

  invalidate(key, ttl) {
    return this.#yes(this.#calls.invalidate(key, ttl), this.invalidate);
  }

  flush() {
    call(() => this.#native.flush());
  }

  flushPrefix(prefix) {
    this.#yes(this.#calls.flushPrefix(prefix), this.flushPrefix);
  }

  clear() {
    this.flush();
  }

  // A part of the cache.

  namespace(prefix) {
    if (typeof prefix !== 'string' && !types.isUint8Array(prefix)) {
      throw typeError(`prefix must be a string, a Buffer or another Uint8Array, got ${inspect(prefix)}`);
    }
    return new Cache(
      new NamespaceOf(
        call(() => this.#native.namespace(Buffer.from(prefix))),
        this,
      ),
    );
  }

  get prefix() {
    return this.#prefix;
  }

  setQuota(limit) {
    if (limit !== undefined && limit !== null && !(Number.isSafeInteger(limit) && limit >= 0)) {
      throw typeError(`limit must be a whole number of bytes, got ${inspect(limit)}`);
    }
    call(() => this.#native.setQuota(limit));
  }

  // Single flight.

  async getOrSet(key, make, options) {
    const { ttl, staleFor } = isOptions(options, FLIGHT_OPTIONS, 'getOrSet') ? options : { ttl: options };
    const kept = extend(ttl, staleFor);
    // Refuses a bad TTL before the value is made.
    const answer = this.#calls.lease(key, this.#slab, this.#used, staleFor, kept);
    const isChosen = this.#cells[0] === 1n;
    const value = this.#value(answer, this.getOrSet);
    const bytes = Buffer.from(key);
    const text = bytes.latin1Slice();
    if (value !== undefined) return isChosen ? this.#renew(bytes, text, make, kept) : value;
    for (;;) {
      const { leader, settled } = call(() => join(native, this.#native, bytes));
      if (leader !== undefined) return this.#lead(leader, bytes, text, make, kept);
      if (this.#making === text) {
        throw new classes.MemcacheError(`make must not wait for the value of its own key ${inspect(key)}`);
      }
      const made = await settled;
      if (made !== undefined) return made;
    }
  }

  async #lead(leader, bytes, text, make, ttl) {
    let handed;
    try {
      // Another leader may have finished between the lookup and the join.
      handed = this.get(bytes);
      if (handed !== undefined) return handed;
      const { value, isCurrent } = await this.#makeAndStore(leader, bytes, text, make, ttl);
      // Waiters may have come after a delete. One of them makes the value again.
      if (isCurrent) handed = value;
      return value;
    } finally {
      leader.finish(handed);
    }
  }

  /** Makes a stale value anew. */
  async #renew(bytes, text, make, ttl) {
    const renewal = call(() => this.#native.renew(bytes));
    let isStored = false;
    try {
      const { value, isCurrent } = await this.#makeAndStore(renewal, bytes, text, make, ttl);
      isStored = isCurrent;
      return value;
    } finally {
      // After a failure the next caller is chosen.
      renewal.finish(isStored);
    }
  }

  /**
   * Makes a value, and stores it if the cache can and has no newer one. `isCurrent` is false if the
   * key was deleted in between.
   */
  async #makeAndStore(role, bytes, text, make, ttl) {
    const before = this.#making;
    this.#making = text;
    let making;
    try {
      making = make();
    } finally {
      this.#making = before;
    }
    const value = await making;
    let isCurrent = true;
    try {
      const { mode, cas, seen } = role.conditions();
      const answer = this.#calls.storeMade(bytes, value, ttl, mode, cas, seen);
      if (answer < MISS) this.#refuse(this.getOrSet);
      isCurrent = answer !== MISS;
    } catch (error) {
      if (!NOT_KEPT.has(error.code)) throw error;
    }
    // A copy, because the maker may change its memory.
    return { value: Buffer.from(value), isCurrent };
  }

  // The whole cache.

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

  save(path, options) {
    return snapshot.save(this.#native, path, options);
  }

  saveToBuffer(options) {
    return snapshot.saveToBuffer(this.#native, options);
  }

  load(source, options) {
    return snapshot.load(this.#native, source, options);
  }

  stats(group = '') {
    checkType('group', group, 'string');
    return call(() => this.#native.stats(group));
  }

  metrics(format = 'prometheus') {
    checkType('format', format, 'string');
    return call(() => this.#native.metrics(format));
  }

  metricFamilies() {
    return call(() => this.#native.metricFamilies());
  }

  hotKeys(most = 10) {
    checkMost(most);
    return call(() => this.#native.hotKeys(most));
  }

  get clock() {
    return new Clock(call(() => this.#native.clock()));
  }

  get name() {
    return this.#name;
  }

  close() {
    this.#native.close();
    this.#useSlab(EMPTY);
  }

  get closed() {
    return this.#native.closed();
  }

  [Symbol.dispose]() {
    this.close();
  }

  [inspect.custom]() {
    if (this.closed) return '<Cache, closed>';
    if (this.#outer !== undefined) return `<Cache, namespace ${inspect(this.prefix.toString())}>`;
    return `<Cache of ${this.size} items>`;
  }
}

module.exports = { Cache: branded(Cache), nativeOf };
