// The store for cache-manager.
'use strict';

const assert = require('node:assert/strict');
const { symlinkSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
const { createCache } = require('cache-manager');
const { Keyv } = require('keyv');
const { Cache, Server } = require('memcache-rs');
const { memcacheStore } = require('memcache-rs/cache-manager');
const { PACKAGE, node, project } = require('./project.js');

/** Creates a store with its own cache. */
function made(t, options) {
  const cache = new Cache();
  t.after(() => cache.close());
  return { cache, store: memcacheStore({ cache, ...options }) };
}

/** Waits until a condition holds. */
async function until(holds) {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('the methods that cache-manager documents', async (t) => {
  const { store } = made(t);
  const cache = createCache({ stores: [store], ttl: 60_000 });
  assert.deepEqual(await cache.set('key', { any: 'value' }), { any: 'value' });
  assert.deepEqual(await cache.get('key'), { any: 'value' });
  assert.equal(await cache.get('nothing'), undefined);
  await cache.mset([
    { key: 'a', value: 1 },
    { key: 'b', value: 2, ttl: 5000 },
  ]);
  assert.deepEqual(await cache.mget(['a', 'b', 'c']), [1, 2, undefined]);
  assert.ok(Math.abs((await cache.ttl('b')) - Date.now() - 5000) < 1000);
  assert.ok(Math.abs((await cache.ttl('a')) - Date.now() - 60_000) < 1000);
  assert.equal(await cache.ttl('nothing'), undefined);
  assert.equal(await cache.del('key'), true);
  assert.equal(await cache.get('key'), undefined);
  assert.equal(await cache.mdel(['a', 'b']), true);
  assert.deepEqual(await cache.mget(['a', 'b']), [undefined, undefined]);
  await cache.set('key', 'value');
  assert.equal(await cache.clear(), true);
  assert.equal(await cache.get('key'), undefined);
  await cache.set('key', 'value');
  const seen = [];
  for await (const entry of cache.stores[0].iterator()) seen.push(entry);
  assert.deepEqual(seen, [['key', 'value']]);
});

test('wrap calls once for many callers', async (t) => {
  const { store, cache: memcache } = made(t);
  const cache = createCache({ stores: [store] });
  let calls = 0;
  const make = async () => {
    calls += 1;
    return { calls };
  };
  const all = await Promise.all(Array.from({ length: 10 }, () => cache.wrap('key', make, 60_000)));
  assert.deepEqual(
    all,
    Array.from({ length: 10 }, () => ({ calls: 1 })),
  );
  assert.deepEqual(await cache.wrap('key', make, 60_000), { calls: 1 });
  memcache.clock.freeze();
  memcache.clock.advance(62);
  assert.deepEqual(await cache.wrap('key', make, 60_000), { calls: 2 });
  const { value, expires } = await cache.wrap('raw', () => 1, { ttl: 5000, raw: true });
  assert.equal(value, 1);
  assert.ok(expires > Date.now());
  // A failure is not kept.
  await assert.rejects(
    cache.wrap('bad', async () => Promise.reject(new Error('not made'))),
    /not made/,
  );
  assert.equal(await cache.wrap('bad', () => 'made'), 'made');
});

test('a value about to expire is made anew while callers get the old one', async (t) => {
  const { store } = made(t);
  const cache = createCache({ stores: [store], ttl: 60_000, refreshThreshold: 61_000 });
  const refreshed = [];
  cache.on('refresh', ({ value }) => refreshed.push(value));
  assert.equal(await cache.wrap('key', () => 1), 1);
  assert.equal(await cache.wrap('key', () => 2), 1);
  await until(() => refreshed.length > 0);
  assert.deepEqual(refreshed, [2]);
  assert.equal(await cache.get('key'), 2);
});

test('several stores: the first with the value answers, and those before it store it', async (t) => {
  const near = new Keyv();
  const { store: far, cache: memcache } = made(t);
  const cache = createCache({ stores: [near, far], ttl: 60_000 });
  await cache.set('key', 'value');
  assert.equal(memcache.size, 1);
  await near.clear();
  assert.equal(await cache.get('key'), 'value');
  assert.equal(await cache.wrap('key', () => 'made anew'), 'value');
  assert.equal(await near.get('key'), 'value');
  memcache.flush();
  assert.equal(await cache.get('key'), 'value');
  assert.deepEqual(await cache.mget(['key', 'other']), ['value', undefined]);
  await cache.del('key');
  assert.equal(await cache.get('key'), undefined);
  const hasty = createCache({ stores: [far, memcacheStore({ cache: memcache, namespace: 'second' })], nonBlocking: true });
  await hasty.set('key', 'value');
  await until(async () => memcache.size === 2);
  assert.equal(await hasty.get('key'), 'value');
});

test('namespaces, default times, and the cache of a server', async (t) => {
  const server = await Server.start();
  t.after(() => server.close());
  server.clock.freeze();
  const [one, two] = ['one', 'two'].map((namespace) => memcacheStore({ cache: server.cache, namespace, ttl: 60_000 }));
  const caches = [one, two].map((store) => createCache({ stores: [store] }));
  await caches[0].set('key', 1);
  await caches[1].set('key', 2);
  assert.equal(server.cache.size, 2);
  await caches[0].clear();
  assert.deepEqual([await caches[0].get('key'), await caches[1].get('key')], [undefined, 2]);
  assert.ok(server.cache.has('two:key'));
  server.clock.advance(61);
  assert.ok(!server.cache.has('two:key'));
});

test('a value that does not fit is not lost: wrap returns it to all callers', async (t) => {
  const { store, cache: memcache } = made(t);
  const cache = createCache({ stores: [store] });
  const large = 'x'.repeat(2 << 20);
  let calls = 0;
  const make = async () => {
    calls += 1;
    return large;
  };
  const all = await Promise.all([1, 2, 3, 4, 5].map(() => cache.wrap('key', make, 60_000)));
  assert.ok(all.every((value) => value === large));
  assert.equal(calls, 1);
  assert.equal(memcache.size, 0);
  assert.equal(await cache.set('key', large), large);
  await cache.mset([
    { key: 'key', value: large },
    { key: 'other', value: 1 },
  ]);
  assert.deepEqual(await cache.mget(['key', 'other']), [undefined, 1]);
});

test('TTLs that are not ordinary numbers', async (t) => {
  const { store } = made(t);
  const cache = createCache({ stores: [store] });
  for (const ttl of [Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY, Number.NaN, 0]) {
    assert.equal(await cache.wrap(`key ${ttl}`, () => 'made', ttl), 'made');
    assert.equal(await cache.get(`key ${ttl}`), 'made');
  }
  await cache.set('key', 'value', -1);
  assert.equal(await cache.get('key'), undefined);
});

test('a store that is closed is an error of set', async () => {
  const own = createCache({ stores: [memcacheStore({ memoryLimit: 16 << 20 })] });
  await own.set('key', 'value');
  await own.disconnect();
  await assert.rejects(own.set('key', 'value'), { name: 'ClosedError' });
});

test('a program with another version of Keyv', async (t) => {
  const root = project(t, ['cache-manager'], {
    'program.js': `
      import assert from 'node:assert/strict';
      import { createCache } from 'cache-manager';
      import { memcacheStore } from 'memcache-rs/cache-manager';
      const cache = createCache({ stores: [memcacheStore()] });
      assert.equal(await cache.wrap('key', () => 'made', 60_000), 'made');
      assert.equal(await cache.wrap('key', () => 'made anew', 60_000), 'made');
      assert.ok((await cache.ttl('key')) > Date.now());`,
  });
  symlinkSync(join(PACKAGE, 'node_modules', 'keyv6'), join(root, 'node_modules', 'keyv'));
  assert.deepEqual(await node(root, ['program.js']), { code: 0, output: '' });
});

test('both module systems have the same function', async () => {
  assert.equal((await import('memcache-rs/cache-manager')).memcacheStore, memcacheStore);
});
