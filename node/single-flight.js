// The callers of this thread that wait for a value, which this or another thread makes.
'use strict';

const { keepAlive } = require('./keep-alive.js');

/** The `resolve` functions of the waiters, by token. */
const waiters = new Map();
let notifier;
let token = 0;
let release;

/**
 * Joins the making of the value of `key`. Returns `leader` if no caller makes it yet. Otherwise
 * returns `settled`, a promise of the value, or of undefined if making it failed.
 */
function join(native, cache, key) {
  notifier ??= new native.Notifier(notify);
  token = (token + 1) % 2 ** 32;
  const mine = token;
  const leader = cache.join(key, notifier, mine);
  if (leader !== null) return { leader };
  // The process must not end while a caller waits, even if nothing else keeps it alive.
  if (waiters.size === 0) release = keepAlive();
  return { settled: new Promise((resolve) => waiters.set(mine, resolve)) };
}

function notify(which, value) {
  const resolve = waiters.get(which);
  if (waiters.delete(which) && waiters.size === 0) release();
  resolve?.(value ?? undefined);
}

module.exports = { join };
