// Random arguments: each call works, or throws a documented error.
'use strict';

const assert = require('node:assert/strict');
const { tmpdir } = require('node:os');
const { inspect } = require('node:util');
const { test } = require('node:test');
const { Cache, MemcacheError, Server } = require('../index.js');
require('./support.js');

// A name among the arguments may become a file.
process.chdir(tmpdir());

const detached = new Uint8Array(8);
structuredClone(detached.buffer, { transfer: [detached.buffer] });

const THINGS = [
  undefined,
  null,
  true,
  0,
  -0,
  1,
  -1,
  1.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 64,
  1e300,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  0n,
  1n,
  -1n,
  2n ** 64n - 1n,
  2n ** 64n,
  2n ** 200n,
  '',
  'key',
  '41',
  '\0',
  '\ud800',
  'k'.repeat(250),
  'é'.repeat(250),
  'x'.repeat(1 << 21),
  Symbol('key'),
  Symbol.iterator,
  () => 'value',
  async () => 'value',
  [],
  ['key', 'other'],
  ['key', 5],
  new Array(3),
  {},
  { ttl: 5, flags: 7, initial: 1, staleFor: 3 },
  { ttl: -1, flags: -1, initial: -1, staleFor: -1 },
  { ttl: '5', flags: '7', initial: '1', staleFor: '1' },
  Object.create(null),
  new Proxy([], {}),
  new Map([['key', 'value']]),
  new Set(['key']),
  new Date(),
  new Date(Number.NaN),
  new Date(8.64e15),
  Buffer.alloc(0),
  Buffer.from('key'),
  Buffer.alloc(300),
  Buffer.alloc(1 << 21),
  new Uint8Array(new SharedArrayBuffer(8)),
  new Uint8ClampedArray(4),
  new Uint16Array(4),
  new Float64Array(4),
  new DataView(new ArrayBuffer(4)),
  new ArrayBuffer(4),
  new SharedArrayBuffer(4),
  detached,
  new Proxy(new Uint8Array(4), {}),
  new Cache(),
];

/** Creates a generator of random numbers from a seed. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function documented(error, what) {
  const known = error instanceof MemcacheError || error instanceof TypeError || error instanceof RangeError;
  assert.ok(known && error.code !== 'ERR_MEMCACHE_INTERNAL', `${what()}: ${inspect(error)}`);
}

test('arguments of a cache', async (t) => {
  const cache = new Cache({ memoryLimit: 8 << 20 });
  t.after(() => cache.close());
  const names = Object.getOwnPropertyNames(Cache.prototype).filter(
    (name) => typeof Object.getOwnPropertyDescriptor(Cache.prototype, name).value === 'function',
  );
  const methods = names.filter((name) => name !== 'constructor' && name !== 'close');
  const pick = random(1);
  for (let n = 0; n < 4000; n += 1) {
    const name = methods[pick(methods.length)];
    const words = Array.from({ length: pick(5) }, () => THINGS[pick(THINGS.length)]);
    const what = () =>
      `${name}(${words.map((word) => inspect(word, { breakLength: Number.POSITIVE_INFINITY, maxStringLength: 20 }))})`;
    try {
      await cache[name](...words);
    } catch (error) {
      documented(error, what);
    }
  }
  cache.set('key', 'value');
  assert.equal(cache.getString('key'), 'value');
});

test('arguments of constructors', async () => {
  const options = ['name', 'memoryLimit', 'itemSizeMax', 'evictions'];
  const more = [
    'port',
    'host',
    'unixMask',
    'udp',
    'tls',
    'users',
    'auth',
    'cache',
    'maxConnections',
    'idleTimeout',
    'clusterNodes',
  ];
  for (const thing of THINGS) {
    try {
      new Cache(thing).close();
    } catch (error) {
      documented(error, () => inspect(thing));
    }
    for (const name of options) {
      try {
        new Cache({ [name]: thing }).close();
      } catch (error) {
        documented(error, () => `${name}: ${inspect(thing)}`);
      }
    }
  }
  const pick = random(3);
  for (let n = 0; n < 150; n += 1) {
    const name = [...options, ...more][pick(options.length + more.length)];
    const thing = THINGS[pick(THINGS.length)];
    try {
      const server = await Server.start({ [name]: thing });
      await server.close();
    } catch (error) {
      documented(error, () => `${name}: ${inspect(thing)}`);
    }
  }
});

test('arguments of a server', async (t) => {
  const server = await Server.start();
  t.after(() => server.close());
  const pick = random(2);
  const { clock, faults } = server;
  const calls = [
    ...['advance', 'freeze', 'resume', 'time'].map((name) => [clock, name]),
    ...['delay', 'delayReply', 'drop', 'error', 'miss', 'truncate'].map((name) => [faults, name]),
    ...['hotKeys', 'stats', 'watch', 'setClusterNodes'].map((name) => [server, name]),
  ];
  for (let n = 0; n < 1000; n += 1) {
    const [of, name] = calls[pick(calls.length)];
    const words = Array.from({ length: pick(4) }, () => THINGS[pick(THINGS.length)]);
    try {
      of[name](...words)?.close?.();
    } catch (error) {
      documented(error, () => `${name}(${words.map((word) => inspect(word, { maxStringLength: 20 }))})`);
    }
    if (n % 100 === 0) faults.clear();
  }
  for (const fault of ['delay', 'delayReply', 'truncate']) faults[fault](1).remove();
});
