// The error classes of the package, each with a code. As in Node, an argument of the wrong type is
// a TypeError and a number out of range a RangeError. `instanceof` is true for errors of any copy
// of the package.
'use strict';

const { getSystemErrorName } = require('node:util');
const { branded } = require('./brand.js');

/** The base class. */
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

class InvalidKeyError extends MemcacheError {
  static code = 'ERR_MEMCACHE_INVALID_KEY';
}

class InvalidTTLError extends MemcacheError {
  static code = 'ERR_MEMCACHE_INVALID_TTL';
}

class ValueTooLargeError extends MemcacheError {
  static code = 'ERR_MEMCACHE_VALUE_TOO_LARGE';
}

class NotANumberError extends MemcacheError {
  static code = 'ERR_MEMCACHE_NOT_A_NUMBER';
}

class OutOfMemoryError extends MemcacheError {
  static code = 'ERR_MEMCACHE_OUT_OF_MEMORY';
}

class ConfigError extends MemcacheError {
  static code = 'ERR_MEMCACHE_CONFIG';
}

class StartError extends MemcacheError {
  static code = 'ERR_MEMCACHE_START';
}

class ClosedError extends MemcacheError {
  static code = 'ERR_MEMCACHE_CLOSED';
}

class FileError extends MemcacheError {
  static code = 'ERR_MEMCACHE_FILE';
}

class BadSnapshotError extends MemcacheError {
  static code = 'ERR_MEMCACHE_BAD_SNAPSHOT';
}

class BusyError extends MemcacheError {
  static code = 'ERR_MEMCACHE_BUSY';
}

class CancelledError extends MemcacheError {
  static code = 'ERR_MEMCACHE_CANCELLED';
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
  FileError,
  BadSnapshotError,
  BusyError,
  CancelledError,
};
for (const Kind of Object.values(classes)) branded(Kind);

const byCode = new Map(Object.values(classes).map((Kind) => [Kind.code, Kind]));

/** Converts an error of the addon. The stack begins at the caller of `callerFrame`. */
function toPublicError(error, callerFrame) {
  const made = byCode.has(error?.code) ? ofClass(error) : ofNode(error);
  if (made !== error) Error.captureStackTrace(made, callerFrame);
  return made;
}

function ofClass({ code, message, errno, path }) {
  const made = new (byCode.get(code))(message);
  if (errno !== undefined) Object.assign(made, { errno, system: getSystemErrorName(errno) });
  return path === undefined ? made : Object.assign(made, { path });
}

function ofNode(error) {
  const code = String(error?.code);
  if (code === 'ERR_OUT_OF_RANGE') return Object.assign(new RangeError(error.message), { code });
  // napi's codes for an argument of the wrong type.
  if (code === 'ERR_INVALID_ARG_TYPE' || /^(InvalidArg|[A-Z][a-z]+Expected)$/.test(code)) {
    return Object.assign(new TypeError(error.message), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  return error;
}

/** Calls the addon, and throws public errors. */
function call(work) {
  try {
    return work();
  } catch (error) {
    throw toPublicError(error, call);
  }
}

module.exports = { call, classes, toPublicError };
