// What adapters share: the cache they keep their items in, and keys as it has them.
'use strict';

const { createHash } = require('node:crypto');
const { inspect } = require('node:util');
const { Cache, nativeOf } = require('../cache.js');
const { classes } = require('../errors.js');
const { wrongType } = require('../options.js');

const KEY_MAX = 250;
/** Of a SHA-256, in hexadecimal. */
const DIGEST = 64;
/** In seconds. */
const CENTURY = 100 * 365 * 86_400;

/** The cache that an adapter is given, which its owner closes, or one of its own. */
function opened({ cache, ...settings }) {
  if (cache === undefined) return { cache: new Cache(settings), own: true };
  nativeOf(cache);
  for (const name of Object.keys(settings)) {
    throw new classes.ConfigError(`cache is one that is there and keeps its settings; ${name} is for a new one`);
  }
  return { cache, own: false };
}

/** Seconds as a cache takes them, which is up to 100 years; longer is for ever. */
function upToCentury(seconds) {
  return seconds < CENTURY ? seconds : undefined;
}

/**
 * Seconds in a cache that last as long as so many milliseconds, of which adapters themselves know: the cache's second may end
 * at any moment, so it is one more.
 */
function lasting(milliseconds) {
  return upToCentury(Math.ceil(milliseconds / 1000) + 1);
}

/** A number, or undefined or null in its place; whatever else it is, an error names it. */
function optionalNumber(name, value) {
  if (value === undefined || value === null || typeof value === 'number') return value ?? undefined;
  throw wrongType(`${name} must be a number, got ${inspect(value)}`);
}

/** Whether a cache has no room for a value, which interfaces of caches do not take for an error. */
function isNoRoom(error) {
  return error instanceof classes.ValueTooLargeError || error instanceof classes.OutOfMemoryError;
}

/**
 * A key of any length as one of 1 to 250 bytes. One that is too long begins as it did, so that it keeps its prefix; its end, and
 * all of an empty one, is a hash.
 */
function short(key) {
  if (key !== '' && (key.length * 3 <= KEY_MAX || Buffer.byteLength(key) <= KEY_MAX)) return key;
  // A character that is cut becomes another one, which may be two bytes longer.
  const head = Buffer.from(key).toString('utf8', 0, KEY_MAX - DIGEST - 2);
  return head + createHash('sha256').update(key).digest('hex');
}

/** The keys that begin so. */
function* keysUnder(cache, prefix) {
  const head = Buffer.from(prefix);
  for (const key of cache.keys()) if (head.equals(key.subarray(0, head.length))) yield key;
}

/** Removes what is under a prefix; under none that is everything. */
function clear(cache, prefix) {
  if (prefix === '') cache.flush();
  else cache.deleteMany(keysUnder(cache, prefix));
}

module.exports = { clear, isNoRoom, keysUnder, lasting, opened, optionalNumber, short, upToCentury };
