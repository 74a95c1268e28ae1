// The errors of this package, all of them MemcacheError, each with a code. What is no string or bytes where one of them is
// needed is a TypeError, as everywhere in Node. `instanceof` knows them from whatever copy of this package they are.
'use strict';

const { getSystemErrorName } = require('node:util');
const { branded } = require('./brand.js');

/** What all errors of this package are. */
class MemcacheError extends Error {
  static code = 'ERR_MEMCACHE_INTERNAL';

  constructor(message, options) {
    super(message, options);
    this.code = new.target.code;
  }

  get name() {
    return this.constructor.name;
  }
}

/** A key is empty, or longer than 250 bytes. */
class InvalidKeyError extends MemcacheError {
  static code = 'ERR_MEMCACHE_INVALID_KEY';
}

/** A time to live is negative, longer than 100 years, or none at all. */
class InvalidTTLError extends MemcacheError {
  static code = 'ERR_MEMCACHE_INVALID_TTL';
}

/** A value is larger than itemSizeMax allows, or than any string. */
class ValueTooLargeError extends MemcacheError {
  static code = 'ERR_MEMCACHE_VALUE_TOO_LARGE';
}

/** What was to be counted is no decimal number. */
class NotANumberError extends MemcacheError {
  static code = 'ERR_MEMCACHE_NOT_A_NUMBER';
}

/** The memory limit is reached, and evictions are off. */
class OutOfMemoryError extends MemcacheError {
  static code = 'ERR_MEMCACHE_OUT_OF_MEMORY';
}

/** Settings that cannot work. */
class ConfigError extends MemcacheError {
  static code = 'ERR_MEMCACHE_CONFIG';
}

/** A server or a cache could not start, for example because the port is taken; errno and system say why. */
class StartError extends MemcacheError {
  static code = 'ERR_MEMCACHE_START';
}

/** A cache was used after it was closed, or a server while it does not run. */
class ClosedError extends MemcacheError {
  static code = 'ERR_MEMCACHE_CLOSED';
}

const classes = {
  MemcacheError,
  InvalidKeyError,
  InvalidTTLError,
  ValueTooLargeError,
  NotANumberError,
  OutOfMemoryError,
  ConfigError,
  StartError,
  ClosedError,
};
for (const kind of Object.values(classes)) branded(kind);

const byCode = new Map(Object.values(classes).map((kind) => [kind.code, kind]));

/** The error of the addon as one of these classes; `above` is left out of its stack. */
function refined(error, above) {
  const [code, errno] = String(error?.code).split('/');
  const made = ofCode(code, error);
  if (made === error) return error;
  if (errno !== undefined && errno !== '0') {
    made.errno = -Number(errno);
    made.system = getSystemErrorName(made.errno);
  }
  Error.captureStackTrace(made, above);
  return made;
}

function ofCode(code, error) {
  const Kind = byCode.get(code);
  if (Kind !== undefined) return new Kind(error.message);
  if (code === 'ERR_OUT_OF_RANGE') return Object.assign(new RangeError(error.message), { code });
  // What napi says of an argument of the wrong kind.
  if (code === 'ERR_INVALID_ARG_TYPE' || /^(InvalidArg|[A-Z][a-z]+Expected)$/.test(code)) {
    return Object.assign(new TypeError(error.message), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  return error;
}

/** Calls the addon. */
function call(work) {
  try {
    return work();
  } catch (error) {
    throw refined(error, call);
  }
}

module.exports = { classes, call, refined };
