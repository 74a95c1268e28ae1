// Statistics as an object: whole numbers as numbers, or bigints where those are not exact, all else as memcached writes it.
'use strict';

function stats(pairs) {
  const all = {};
  for (const [name, value] of pairs) all[name] = number(value);
  return all;
}

function number(text) {
  if (!/^-?\d+$/.test(text)) return text;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

module.exports = { stats };
