// Those who wait in this thread for values that are being made, here or in another thread.
'use strict';

const { hold } = require('./hold.js');

/** Who waits, by token. */
const waiting = new Map();
let bell;
let token = 0;
let release;

/**
 * The making of the value of `name`: a flight of the addon, if nobody makes it, else a promise of the value, or of
 * undefined if it was not made.
 */
function board(native, cache, name) {
  bell ??= new native.Bell(ring);
  token = (token + 1) % 2 ** 32;
  const mine = token;
  const flight = cache.board(name, bell, mine);
  if (flight !== null) return { flight };
  // Somebody waits, so the process must not end, whatever it is that keeps the maker busy.
  if (waiting.size === 0) release = hold();
  return { arrival: new Promise((resolve) => waiting.set(mine, resolve)) };
}

function ring(which, value) {
  const resolve = waiting.get(which);
  if (waiting.delete(which) && waiting.size === 0) release();
  resolve?.(value ?? undefined);
}

module.exports = { board };
