// Shared by the adapters: their cache, and the conversion of keys and TTLs.
'use strict';

const { createHash } = require('node:crypto');
const { inspect } = require('node:util');
const { Cache, nativeOf } = require('../cache.js');
const { classes } = require('../errors.js');
const { typeError } = require('../options.js');

const KEY_MAX = 250;
/** Length of a SHA-256 digest in hexadecimal. */
const DIGEST = 64;
/** 100 years in seconds. */
const CENTURY = 100 * 365 * 86_400;

/** Returns the given cache, or a new one that the adapter owns. */
function openCache({ cache, ...settings }) {
  if (cache === undefined) return { cache: new Cache(settings), own: true };
  nativeOf(cache);
  for (const name of Object.keys(settings)) {
    throw new classes.ConfigError(`${name} must be left out with cache: the Cache keeps its own settings`);
  }
  return { cache, own: false };
}

/** Returns a TTL that a cache accepts. More than 100 years means no expiry. */
function upToCentury(seconds) {
  return seconds < CENTURY ? seconds : undefined;
}

/**
 * Converts milliseconds to a TTL of a cache. The current second of the cache may end at any moment,
 * so the TTL is one second longer. The adapters check the milliseconds themselves.
 */
function toCacheTtl(milliseconds) {
  return upToCentury(Math.ceil(milliseconds / 1000) + 1);
}

/** Checks an optional number. Returns undefined for null. */
function optionalNumber(name, value) {
  if (value === undefined || value === null || typeof value === 'number') return value ?? undefined;
  throw typeError(`${name} must be a number, got ${inspect(value)}`);
}

/** Returns whether a value does not fit, which is not an error behind these interfaces. */
function isNoRoom(error) {
  return error instanceof classes.ValueTooLargeError || error instanceof classes.OutOfMemoryError;
}

/**
 * Returns a key of 1 to 250 bytes, with the prefix of a namespace, for a key of any length. A hash
 * replaces the end of a long key, and an empty key. The beginning stays.
 */
function shortKey(cache, key) {
  const room = KEY_MAX - cache.prefix.length;
  if (key !== '' && (key.length * 3 <= room || Buffer.byteLength(key) <= room)) return key;
  // A character that is cut becomes U+FFFD, which may be two bytes longer.
  const head = Buffer.from(key).toString('utf8', 0, Math.max(room - DIGEST - 2, 0));
  return head + createHash('sha256').update(key).digest('hex');
}

/** Yields the keys with a prefix. */
function* keysUnder(cache, prefix) {
  const head = Buffer.from(prefix);
  for (const key of cache.keys()) if (head.equals(key.subarray(0, head.length))) yield key;
}

/**
 * Removes the items with a prefix, in constant time. An empty prefix means all items. Items with
 * the same first 181 bytes go together, because a hash may replace what is behind them.
 */
function clear(cache, prefix) {
  // The last character of the beginning of a long key may be cut.
  const most = Math.max(KEY_MAX - cache.prefix.length - DIGEST - 5, 0);
  if (prefix === '') cache.flush();
  else cache.flushPrefix(Buffer.from(prefix).subarray(0, most));
}

module.exports = { clear, isNoRoom, keysUnder, openCache, optionalNumber, shortKey, toCacheTtl, upToCentury };
