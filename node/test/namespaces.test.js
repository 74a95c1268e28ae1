// Namespaces of a cache, and the adapters that clear one.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { inspect } = require('node:util');
const { Cache, Server } = require('memcache-rs');
const { KeyvMemcache } = require('memcache-rs/keyv');
const { MemcacheStore } = require('memcache-rs/express-session');
const { collect } = require('./support.js');

function cache(t) {
  const made = new Cache();
  t.after(() => made.close());
  return made;
}

const strings = (keys) => Array.from(keys, String).sort();

test('each method has the prefix', (t) => {
  const c = cache(t);
  c.clock.freeze();
  const users = c.namespace('users:');
  users.set('1', 'Ada', 60);
  users.setMany({ 2: 'Grace', n: '41' });
  assert.deepEqual(strings(c.keys()), ['users:1', 'users:2', 'users:n']);
  assert.equal(users.getString('1'), 'Ada');
  assert.deepEqual(users.get(Buffer.from('2')), Buffer.from('Grace'));
  assert.equal(users.get('users:1'), undefined);
  assert.deepEqual(users.getMany(['2', 'x']), new Map([['2', Buffer.from('Grace')]]));
  assert.equal(users.incr('n'), 42);
  assert.equal(users.decr('n', 2), 40);
  assert.equal(users.incr('m', 1, { initial: 7 }), 7);
  assert.equal(users.add('1', 'x'), false);
  assert.ok(users.replace('1', 'Ada L') && users.append('1', '.') && users.prepend('1', '>'));
  const { value, cas } = users.gets('1');
  assert.equal(String(value), '>Ada L.');
  assert.equal(users.cas('1', 'Ada', cas), true);
  assert.equal(users.touch('1', 9), true);
  assert.equal(users.info('1').ttl, 9);
  assert.equal(String(users.getItem('1').value), 'Ada');
  assert.equal(String(users.getAndTouch('1', 5)), 'Ada');
  const buffer = Buffer.alloc(3);
  assert.equal(users.getInto('1', buffer), 3);
  assert.ok(users.has('1') && !users.has('users:1'));
  assert.equal(users.deleteMany(['1', 'm', 'n', 'x']), 3);
  assert.deepEqual([users.size, strings(users.keys()), strings(users.values())], [1, ['2'], ['Grace']]);
  assert.deepEqual([...users], [[Buffer.from('2'), Buffer.from('Grace')]]);
  c.set('page', 'Hello');
  users.set('é', 'x');
  users.flushPrefix('é');
  assert.deepEqual(strings(c.keys()), ['page', 'users:2']);
  users.clear();
  assert.deepEqual(strings(c.keys()), ['page']);
  assert.deepEqual(
    [users.prefix, c.prefix.length, inspect(users)],
    [Buffer.from('users:'), 0, "<Cache, namespace 'users:'>"],
  );
  c.clear();
  assert.equal(c.size, 0);
});

test('a namespace of a namespace has both prefixes', (t) => {
  const c = cache(t);
  const outer = c.namespace('a:');
  const inner = outer.namespace(Buffer.from('b:'));
  for (const each of [c, outer, inner]) each.set('1', 'x');
  assert.deepEqual([inner.size, outer.size, c.size], [1, 2, 3]);
  inner.clear();
  assert.deepEqual(strings(c.keys()), ['1', 'a:1']);
  outer.flush();
  assert.deepEqual(strings(c.keys()), ['1']);
});

test('the whole key has up to 250 bytes', (t) => {
  const space = cache(t).namespace('p'.repeat(200));
  for (const key of ['k'.repeat(50), Buffer.alloc(50, 1), 'é'.repeat(25), '']) {
    space.set(key, 'x');
    assert.equal(space.getString(key), 'x');
  }
  assert.equal(space.size, 4);
  for (const key of ['k'.repeat(51), Buffer.alloc(51), 'é'.repeat(26), 'k'.repeat(300)]) {
    assert.throws(() => space.set(key, 'x'), { code: 'ERR_MEMCACHE_INVALID_KEY' });
  }
  assert.throws(() => space.set('k'.repeat(51), 'x'), { message: /got 251/ });
  const whole = space.namespace('q'.repeat(50));
  whole.set('', 'x');
  assert.throws(() => whole.set('k', 'x'), { message: /got 251/ });
  for (const prefix of ['p'.repeat(51), 'p'.repeat(300)]) {
    assert.throws(() => space.namespace(prefix), { code: 'ERR_MEMCACHE_INVALID_KEY', message: /^prefix must have/ });
  }
  const c = cache(t);
  assert.throws(() => c.namespace(''), { code: 'ERR_MEMCACHE_INVALID_KEY' });
  for (const prefix of [1, undefined, {}]) {
    assert.throws(() => c.namespace(prefix), { code: 'ERR_INVALID_ARG_TYPE', message: /^prefix must be a string/ });
  }
});

test('values are made once for all handles', async (t) => {
  const c = cache(t);
  const space = c.namespace('a:');
  let count = 0;
  const make = async () => `made ${++count}`;
  const made = await Promise.all([space.getOrSet('key', make, 60), c.getOrSet('a:key', make), space.getOrSet('key', make)]);
  assert.deepEqual(made.map(String), ['made 1', 'made 1', 'made 1']);
  assert.equal(c.getString('a:key'), 'made 1');
  space.invalidate('key');
  assert.equal(String(await space.getOrSet('key', make, { ttl: 60, staleFor: 30 })), 'made 2');
  assert.equal(String(await c.getOrSet('a:key', make)), 'made 2');
});

test('a close of one handle closes all, and a collected one closes none', async () => {
  const c = new Cache({ name: 'namespaces' });
  c.set('a:1', 'x');
  (() => c.namespace('a:').get('1'))();
  let inner = (() => new Cache().namespace('a:'))();
  inner.set('1', 'x');
  await collect();
  assert.equal(inner.getString('1'), 'x');
  inner.close();
  inner = undefined;
  const space = c.namespace('a:');
  assert.deepEqual([space.getString('1'), space.name], ['x', 'namespaces']);
  space.close();
  assert.ok(c.closed && space.closed);
  assert.throws(() => c.get('a:1'), { name: 'ClosedError' });
  assert.throws(() => space.namespace('b:'), { name: 'ClosedError' });
  assert.equal(inspect(space), '<Cache, closed>');
});

test('a quota evicts items of its namespace', (t) => {
  const c = cache(t);
  const site = c.namespace('site1:');
  c.set('other', 'x');
  site.setQuota(1000);
  for (let number = 0; number < 100; number += 1) site.set(String(number), Buffer.alloc(100));
  assert.ok(site.size > 1 && site.size < 10 && site.has('99') && c.has('other'));
  const stats = c.stats('quotas');
  assert.deepEqual([stats['quota:1:prefix'], stats['quota:1:limit']], ['site1:', 1000]);
  assert.equal(stats['quota:1:evicted'], 100 - site.size);
  assert.throws(() => site.set('large', Buffer.alloc(2000)), { name: 'OutOfMemoryError' });
  assert.throws(() => site.namespace('a').setQuota(1), { name: 'ConfigError', message: /must not overlap/ });
  assert.throws(() => c.setQuota(1), { name: 'ConfigError' });
  for (const limit of ['1', -1, 1.5]) assert.throws(() => site.setQuota(limit), { code: 'ERR_INVALID_ARG_TYPE' });
  site.setQuota(undefined);
  site.set('large', Buffer.alloc(2000));
  assert.deepEqual(c.stats('quotas'), {});
});

test('a server serves the whole cache', async (t) => {
  const c = cache(t);
  const server = await Server.start({ cache: c.namespace('a:') });
  t.after(() => server.close());
  server.cache.set('1', 'x');
  assert.equal(c.getString('a:1'), 'x');
});

test('adapters clear their namespace', async (t) => {
  const c = cache(t);
  c.set('page', 'Hello');
  const keyv = new KeyvMemcache({ cache: c.namespace('keyv:') });
  const sessions = new MemcacheStore({ cache: c.namespace('web:') });
  const long = 'k'.repeat(248);
  for (const key of ['key', long]) {
    await keyv.set(key, 'x');
    assert.equal(await keyv.get(key), 'x');
    await new Promise((resolve) => sessions.set(key, { cookie: {} }, resolve));
  }
  assert.equal(await new Promise((resolve) => sessions.length((_, length) => resolve(length))), 2);
  assert.equal(strings(c.keys()).length, 5);
  await keyv.clear();
  assert.deepEqual(
    strings(c.keys()).map((key) => key.slice(0, 4)),
    ['page', 'web:', 'web:'],
  );
  await new Promise((resolve) => sessions.clear(resolve));
  assert.deepEqual(strings(c.keys()), ['page']);
});

test('a clear finds the long keys of a long namespace', async (t) => {
  const c = cache(t);
  const keyv = new KeyvMemcache({ cache: c });
  keyv.namespace = 'é'.repeat(100);
  const prefix = `${keyv.namespace}:`;
  for (const key of ['a', 'b'.repeat(40), 'c'.repeat(300)]) await keyv.set(prefix + key, 'x');
  await keyv.set('other', 'x');
  await keyv.clear();
  assert.deepEqual(strings(c.keys()), ['other']);
});
