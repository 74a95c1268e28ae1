// The store for Keyv 5 and 6: Keyv's own suite, and further tests.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Keyv } = require('keyv');
const { Keyv: Keyv6 } = require('keyv6');
const { Cache, Server } = require('memcache-rs');
const { KeyvMemcache } = require('memcache-rs/keyv');
const { project, vitest } = require('./project.js');
const { message, thread } = require('./support.js');

test('the suite of Keyv passes', async (t) => {
  const root = project(t, ['vitest', 'keyv', '@keyv/test-suite'], {
    'keyv.test.js': `
      import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite';
      import { Keyv } from 'keyv';
      import { Cache } from 'memcache-rs';
      import { KeyvMemcache } from 'memcache-rs/keyv';
      import * as test from 'vitest';

      const cache = new Cache();
      const store = () => new KeyvMemcache({ cache });
      keyvTestSuite(test, Keyv, store);
      keyvIteratorTests(test, Keyv, store);
    `,
  });
  const { code, output } = await vitest(root);
  assert.equal(code, 0, output);
  const [, passed] = /Tests +(\d+) passed \(\1\)/.exec(output) ?? assert.fail(output);
  assert.ok(Number(passed) >= 30, output);
});

for (const [name, Kind] of Object.entries({ 'Keyv 5': Keyv, 'Keyv 6': Keyv6 })) {
  const made = (t, options = {}, settings = {}) => {
    const store = new KeyvMemcache(settings);
    t.after(() => store.disconnect());
    const keyv = new Kind({ store, namespace: 'shop', ...options });
    keyv.on('error', assert.fail);
    return keyv;
  };

  test(`${name}: values, one by one and many at once`, async (t) => {
    const keyv = made(t);
    assert.equal(await keyv.set('a', { name: 'Ada' }), true);
    assert.deepEqual(await keyv.get('a'), { name: 'Ada' });
    assert.deepEqual(
      await keyv.setMany([
        { key: 'b', value: 2 },
        { key: 'c', value: null, ttl: 60_000 },
      ]),
      [true, true],
    );
    assert.deepEqual(await keyv.getMany(['a', 'nothing', 'b', 'c']), [{ name: 'Ada' }, undefined, 2, null]);
    assert.deepEqual(await keyv.hasMany(['a', 'nothing']), [true, false]);
    assert.equal(await keyv.has('b'), true);
    assert.equal(await keyv.delete('a'), true);
    assert.equal(await keyv.delete('a'), false);
    assert.ok(await keyv.deleteMany(['b', 'c']));
    assert.deepEqual(await keyv.getMany(['b', 'c']), [undefined, undefined]);
  });

  test(`${name}: namespaces, in one cache`, async (t) => {
    const cache = new Cache();
    t.after(() => cache.close());
    cache.set('shop', 'not of Keyv');
    const [shop, shopping] = ['shop', 'shopping'].map((namespace) => made(t, { namespace }, { cache }));
    await shop.set('key', 'here');
    await shopping.set('key', 'there');
    const long = ['k'.repeat(1000), ...Array.from({ length: 4 }, (_, n) => 'a'.repeat(n) + '\u{1f34e}'.repeat(100))];
    for (const key of long) {
      await shop.set(key, key);
      assert.equal(await shop.get(key), key);
      assert.equal(await shop.get(`${key}k`), undefined);
    }
    assert.equal(cache.size, 3 + long.length);
    const seen = [];
    for await (const entry of shopping.iterator()) seen.push(entry);
    assert.deepEqual(seen, [['key', 'there']]);
    await shop.clear();
    assert.deepEqual(
      [await shop.get('key'), await shop.get(long[1]), await shopping.get('key')],
      [undefined, undefined, 'there'],
    );
    assert.equal(cache.getString('shop'), 'not of Keyv');
    // The given cache is not closed.
    await shop.disconnect();
    // The size counts items until their memory is freed.
    assert.equal([...cache.keys()].length, 2);
  });

  test(`${name}: without a namespace the cache is the store`, async (t) => {
    const cache = new Cache();
    t.after(() => cache.close());
    const keyv = made(t, { namespace: undefined }, { cache });
    await keyv.set('key', 'value');
    assert.ok(cache.has('key'));
    await keyv.clear();
    assert.equal(cache.size, 0);
  });

  test(`${name}: a value expires, also by the clock of the cache`, async (t) => {
    const cache = new Cache();
    t.after(() => cache.close());
    const keyv = made(t, { ttl: 60_000 }, { cache });
    cache.clock.freeze();
    await keyv.set('minute', 1);
    await keyv.set('half a second', 1, 500);
    await keyv.setMany([
      { key: 'hour', value: 1, ttl: 3_600_000 },
      { key: 'millennium', value: 1, ttl: 1000 * 365 * 86_400_000 },
    ]);
    const keys = ['half a second', 'minute', 'hour', 'millennium'];
    const there = async () => (await keyv.getMany(keys)).filter((value) => value === 1).length;
    assert.equal(await there(), 4);
    cache.clock.advance(60);
    assert.equal(await there(), 3);
    cache.clock.advance(1);
    assert.equal(await there(), 2);
    cache.clock.advance(99 * 365 * 86_400);
    assert.equal(await there(), 1);
  });

  test(`${name}: a value that does not fit is not kept, and is no error`, async (t) => {
    const cache = new Cache({ memoryLimit: 8 << 20, evictions: false });
    t.after(() => cache.close());
    const keyv = new Kind({ store: new KeyvMemcache({ cache }), throwOnErrors: true });
    keyv.on('error', assert.fail);
    await keyv.set('key', 'small');
    assert.equal(await keyv.set('key', 'x'.repeat(2 << 20)), false);
    assert.equal(await keyv.get('key'), undefined);
    const many = [
      { key: 'key', value: 'x'.repeat(2 << 20) },
      { key: 'other', value: 'y' },
    ];
    assert.deepEqual(await keyv.setMany(many), [false, true]);
    assert.deepEqual(await keyv.getMany(['key', 'other']), [undefined, 'y']);
    // Fill the memory.
    let n = 0;
    while (await keyv.set(`key${n}`, 'x'.repeat(100_000))) assert.ok(n++ < 100);
    assert.ok(n > 10);
  });

  test(`${name}: TTLs that are not ordinary numbers`, async (t) => {
    const keyv = made(t);
    for (const ttl of [Number.MAX_SAFE_INTEGER, Number.MAX_VALUE, Number.POSITIVE_INFINITY, Number.NaN, 0, undefined]) {
      assert.equal(await keyv.set('key', 'value', ttl), true, String(ttl));
      assert.equal(await keyv.get('key'), 'value', String(ttl));
      assert.equal(await keyv.has('key'), true, String(ttl));
      await keyv.delete('key');
      assert.deepEqual(await keyv.setMany([{ key: 'key', value: 'value', ttl }]), [true], String(ttl));
      assert.equal(await keyv.get('key'), 'value', String(ttl));
      await keyv.delete('key');
    }
  });

  test(`${name}: a value expires to the millisecond`, async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const keyv = made(t);
    await keyv.set('key', 'value', 100);
    await keyv.set('minute', 'value', 60_000);
    await keyv.set('month', 'value', 30 * 86_400_000);
    assert.deepEqual(await keyv.hasMany(['key', 'minute', 'month']), [true, true, true]);
    t.mock.timers.tick(101);
    assert.equal(await keyv.has('key'), false);
    assert.deepEqual(await keyv.hasMany(['key', 'minute', 'month']), [false, true, true]);
    t.mock.timers.tick(59_901);
    assert.deepEqual(await keyv.hasMany(['key', 'minute', 'month']), [false, false, true]);
    assert.deepEqual(await keyv.getMany(['key', 'minute', 'month']), [undefined, undefined, 'value']);
  });
}

test('the store answers what Keyv does not check itself', async (t) => {
  const store = new KeyvMemcache();
  t.after(() => store.disconnect());
  // In Keyv 5 it has expired already.
  assert.equal(await store.set('key', 'value', -1), true);
  assert.equal(await store.has('key'), false);
  for (const ttl of [new Date(), '1000', 1000n, {}]) {
    await assert.rejects(store.set('key', 'value', ttl), { name: 'TypeError', message: /^ttl must be a number, got / });
  }
});

test('a key may be empty', async (t) => {
  const store = new KeyvMemcache();
  t.after(() => store.disconnect());
  assert.equal(await store.set('', 'value'), true);
  assert.equal(await store.get(''), 'value');
  assert.deepEqual(await store.getMany(['', 'other']), ['value', undefined]);
  assert.equal(await store.delete(''), true);
});

test('threads share a cache by its name', async (t) => {
  const store = new KeyvMemcache({ name: 'keyv', memoryLimit: 16 << 20 });
  t.after(() => store.disconnect());
  const keyv = new Keyv({ store });
  await keyv.set('key', 'from here');
  const worker = thread(
    `const { Keyv } = require(data.keyv);
     const { KeyvMemcache } = require(data.adapter);
     const keyv = new Keyv({ store: new KeyvMemcache({ name: 'keyv' }) });
     const seen = await keyv.get('key');
     await keyv.set('key', 'from there');
     await keyv.disconnect();
     parent.postMessage(seen);`,
    { keyv: require.resolve('keyv'), adapter: require.resolve('memcache-rs/keyv') },
  );
  assert.equal(await message(worker), 'from here');
  assert.equal(await keyv.get('key'), 'from there');
});

test('the cache of a server', async (t) => {
  const server = await Server.start();
  t.after(() => server.close());
  const keyv = new Keyv({ store: new KeyvMemcache({ cache: server.cache }) });
  await keyv.set('key', 'value');
  assert.equal(server.cache.getString('keyv:key'), '{"value":"value"}');
});

test('both module systems have the same class, and mistakes are refused', async (t) => {
  assert.equal((await import('memcache-rs/keyv')).KeyvMemcache, KeyvMemcache);
  const cache = new Cache();
  t.after(() => cache.close());
  for (const options of [{ cache, memoryLimit: 16 << 20 }, { memory: 1 }, { cache: {} }, { cache: new Map() }]) {
    assert.throws(() => new KeyvMemcache(options), { name: 'ConfigError' });
  }
  const own = new KeyvMemcache();
  await own.disconnect();
  await assert.rejects(own.get('key'), { name: 'ClosedError' });
});
