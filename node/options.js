// Checks of arguments. Options may come from any realm, and an unknown one is an error.
'use strict';

const { inspect } = require('node:util');

/** Creates a TypeError with Node's code for it. */
function typeError(text) {
  return Object.assign(new TypeError(text), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** Creates a RangeError with Node's code for it. */
function rangeError(text) {
  return Object.assign(new RangeError(text), { code: 'ERR_OUT_OF_RANGE' });
}

/** Checks that an argument has the type `type`. */
function checkType(name, value, type) {
  if (typeof value !== type) throw typeError(`${name} must be a ${type}, got ${inspect(value)}`);
}

/** Checks that an argument is a number of seconds to wait. Infinity is one. */
function checkTimeout(value) {
  checkType('timeout', value, 'number');
  if (!(value >= 0)) throw rangeError(`timeout must be at least 0 seconds, got ${value}`);
}

/** Checks that an argument is a number of keys. */
function checkMost(value) {
  checkType('most', value, 'number');
  if (!Number.isInteger(value) || value < 0 || value > 512) {
    throw rangeError(`most must be an integer from 0 to 512, got ${value}`);
  }
}

/**
 * Checks that `options` is an object with no other names than those in `known`. A list or a Map is
 * refused. `of` names the receiver of the options, and `refusal` creates the error.
 */
function checkNames(options, known, of, refusal = typeError) {
  if (typeof options !== 'object' || options === null || Symbol.iterator in options) {
    throw refusal(`the options of ${of} must be an object, got ${inspect(options)}`);
  }
  for (const name in options) {
    if (!known.has(name)) {
      throw refusal(`the options of ${of} must be among ${[...known].join(', ')}, got ${inspect(name)}`);
    }
  }
}

/** Returns the properties that are not undefined. */
function defined(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/**
 * Returns settings as a list for the addon, whose table checks them. It leaves out those that are
 * undefined. `refusal` creates the error for a value that no setting takes.
 */
function toSettings(settings, refusal) {
  const isSetting = (value) =>
    ['boolean', 'number', 'string'].includes(typeof value) ||
    (Array.isArray(value) && value.every((one) => typeof one === 'number'));
  return Object.entries(defined(settings)).map(([name, value]) => {
    if (!isSetting(value)) {
      throw refusal(`${name} must be a boolean, a number, a string or a list of numbers, got ${inspect(value)}`);
    }
    return { name, value };
  });
}

module.exports = { checkMost, checkNames, checkTimeout, checkType, defined, toSettings, typeError };
