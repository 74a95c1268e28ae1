// Statistics as an object. memcached writes text; whole numbers become numbers.
'use strict';

function stats(pairs) {
  const all = {};
  for (const [name, value] of pairs) all[name] = /^-?\d+$/.test(value) ? Number(value) : value;
  return all;
}

module.exports = { stats };
