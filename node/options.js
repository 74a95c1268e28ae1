// Objects with options, which come from any realm, and of which nothing is ignored.
'use strict';

const { inspect } = require('node:util');

/** An argument of the wrong kind, with Node's code for it. */
function wrongType(text) {
  return Object.assign(new TypeError(text), { code: 'ERR_INVALID_ARG_TYPE' });
}

/**
 * Checks that `options` is an object with no other names than those in `known`, and not a list or a Map, whose entries are
 * no options. `of` says in errors what it is for; `refusal` makes the error.
 */
function checkNames(options, known, of, refusal = wrongType) {
  if (typeof options !== 'object' || options === null || Symbol.iterator in options) {
    throw refusal(`the options of ${of} must be an object, got ${inspect(options)}`);
  }
  for (const name in options) {
    if (!known.has(name)) throw refusal(`${of} has no option ${inspect(name)}; it has ${[...known].join(', ')}`);
  }
}

module.exports = { checkNames, wrongType };
