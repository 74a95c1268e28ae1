// The session store: alone, beside express-session's own, and in an application.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { promisify } = require('node:util');
const express = require('express');
const session = require('express-session');
const request = require('supertest');
const { Cache, Server } = require('memcache-rs');
const { MemcacheStore } = require('memcache-rs/express-session');
const { ask, message, place, thread } = require('./support.js');

/** Returns a store's methods as promises. */
function promised(store) {
  const names = ['get', 'set', 'touch', 'destroy', 'all', 'length', 'clear'];
  return Object.fromEntries(names.map((name) => [name, promisify(store[name].bind(store))]));
}

const cookie = (maxAge) => ({ originalMaxAge: maxAge, expires: new Date(Date.now() + maxAge) });

// Both stores behave alike.
for (const Store of [session.MemoryStore, MemcacheStore]) {
  test(`${Store.name}: the methods of a store`, async (t) => {
    const store = new Store();
    t.after(() => store.close?.());
    const { get, set, touch, destroy, all, length, clear } = promised(store);
    assert.equal(await get('a'), undefined);
    assert.equal(await set('a', { cookie: cookie(60_000), name: 'Ada' }), undefined);
    await set('b', { cookie: { expires: null }, name: 'Bob' });
    // express-session writes this for a session that ends with the browser.
    await set('b', { cookie: { expires: false }, name: 'Bob' });
    assert.equal((await get('a')).name, 'Ada');
    assert.equal((await get('b')).name, 'Bob');
    assert.equal(await length(), 2);
    const everything = await all();
    assert.deepEqual(Object.keys(everything).sort(), ['a', 'b']);
    assert.equal(everything.b.name, 'Bob');
    // Changing the given session does not change the stored one.
    const given = { cookie: cookie(60_000), list: [1] };
    await set('c', given);
    given.list.push(2);
    assert.deepEqual((await get('c')).list, [1]);
    // A touch changes the cookie only, and does not restore a session.
    const later = cookie(120_000);
    assert.equal(await touch('a', { cookie: later, name: 'Eve' }), undefined);
    assert.deepEqual(await get('a'), { cookie: { ...later, expires: later.expires.toJSON() }, name: 'Ada' });
    await touch('nobody', { cookie: cookie(60_000) });
    assert.equal(await get('nobody'), undefined);
    assert.equal(await destroy('a'), undefined);
    await destroy('nobody');
    assert.equal(await get('a'), undefined);
    // A session whose cookie has ended is gone.
    await set('b', { cookie: cookie(-1), name: 'Bob' });
    assert.equal(await get('b'), undefined);
    await touch('b', { cookie: cookie(60_000) });
    assert.equal(await get('b'), undefined);
    await set('c', { cookie: { expires: new Date(Date.now() + 60_000).toISOString() } });
    assert.ok(await get('c'));
    await clear();
    assert.equal(await length(), 0);
    assert.deepEqual(Object.keys(await all()), []);
    // Callbacks run later, and are optional.
    let called = false;
    store.get('a', () => (called = true));
    assert.equal(called, false);
    store.set('a', { cookie: cookie(60_000) });
    store.touch('a', { cookie: cookie(60_000) });
    store.destroy('a');
    store.clear();
    assert.equal(await length(), 0);
  });
}

test('sessions live as long as their cookies, by the clock of the cache', async (t) => {
  const store = new MemcacheStore({ ttl: 600 });
  t.after(() => store.close());
  const { get, set, touch } = promised(store);
  store.cache.clock.freeze();
  await set('minute', { cookie: cookie(60_000) });
  await set('browser', { cookie: {} });
  await set('ever', { cookie: { expires: new Date('9999-12-31') } });
  store.cache.clock.advance(59);
  assert.ok(await get('minute'));
  await touch('minute', { cookie: cookie(60_000) });
  store.cache.clock.advance(60);
  assert.ok(await get('minute'));
  store.cache.clock.advance(1);
  assert.equal(await get('minute'), undefined);
  assert.ok(await get('ever'));
  store.cache.clock.advance(600 - 120 - 1);
  assert.ok(await get('browser'));
  store.cache.clock.advance(1);
  assert.equal(await get('browser'), undefined);
});

test('TTLs that are not ordinary numbers', async (t) => {
  for (const ttl of [Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER, 100 * 366 * 86_400]) {
    const store = new MemcacheStore({ ttl });
    t.after(() => store.close());
    const { get, set, touch } = promised(store);
    await set('a', { cookie: {}, name: 'Ada' });
    await touch('a', { cookie: {} });
    assert.equal((await get('a')).name, 'Ada');
    assert.equal(store.cache.getItem('sess:a').ttl, undefined);
    // An invalid Date, as of a cookie that lasts for Infinity.
    await set('b', { cookie: { expires: new Date(Number.NaN) }, name: 'Bob' });
    assert.equal((await get('b')).name, 'Bob');
  }
  for (const ttl of [0, -1, Number.NaN, '60', new Date(), null]) {
    assert.throws(() => new MemcacheStore({ ttl }), {
      name: 'ConfigError',
      message: /^ttl must be a number of seconds above 0/,
    });
  }
  assert.throws(() => new MemcacheStore({ prefix: 5 }), { name: 'ConfigError', message: /^prefix must be/ });
  assert.throws(() => new MemcacheStore({ cache: {} }), { name: 'ConfigError' });
});

test('a store does not touch other items', async (t) => {
  const cache = new Cache();
  t.after(() => cache.close());
  cache.set('other', 'value');
  const [one, two] = ['one:', 'two:'].map((prefix) => promised(new MemcacheStore({ cache, prefix })));
  await one.set('a', { cookie: {}, of: 'one' });
  await two.set('a', { cookie: {}, of: 'two' });
  assert.equal((await two.get('a')).of, 'two');
  assert.equal(await one.length(), 1);
  await one.clear();
  assert.equal(await one.get('a'), undefined);
  assert.ok(await two.get('a'));
  assert.equal(cache.getString('other'), 'value');
});

test('errors go to the callback', async () => {
  const store = new MemcacheStore();
  const { get, set } = promised(store);
  await set('a', { cookie: {}, name: 'Ada' });
  await assert.rejects(set('a', { cookie: {}, text: 'x'.repeat(2 << 20) }), { name: 'ValueTooLargeError' });
  // The old session is gone.
  assert.equal(await get('a'), undefined);
  store.cache.set('sess:a', 'no JSON');
  await assert.rejects(get('a'), { name: 'SyntaxError' });
  store.close();
  await assert.rejects(get('a'), { name: 'ClosedError' });
  assert.throws(() => store.set('a', { cookie: {} }), { name: 'ClosedError' });
});

/** An application that counts visits. */
function application(store, options) {
  const app = express();
  app.use(session({ secret: 'of the tests', resave: false, saveUninitialized: false, store, ...options }));
  app.get('/', (req, res) => {
    req.session.visits = (req.session.visits ?? 0) + 1;
    res.json(req.session.visits);
  });
  app.get('/look', (req, res) => res.json(req.session.visits ?? 0));
  app.post('/login', (req, res, next) => req.session.regenerate((error) => (error ? next(error) : res.json(req.sessionID))));
  app.post('/logout', (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.json('bye'))));
  app.get('/reload', (req, res, next) =>
    req.session.reload((error) => (error ? next(error) : res.json(req.session.visits))),
  );
  return app;
}

test('an application, from the first visit to the last', async (t) => {
  const server = await Server.start();
  t.after(() => server.close());
  const store = new MemcacheStore({ cache: server.cache });
  const app = application(store, { cookie: { maxAge: 60_000 } });
  const [ada, bob] = [request.agent(app), request.agent(app)];
  const body = async (asked) => (await asked.expect(200)).body;
  server.clock.freeze();
  assert.deepEqual([await body(ada.get('/')), await body(ada.get('/')), await body(bob.get('/'))], [1, 2, 1]);
  assert.equal(await body(ada.get('/reload')), 2);
  // Clients of the server see the sessions, too.
  const [key] = [...server.cache.keys()];
  assert.match(await ask(place(server), `get ${key}`), /"visits":/);
  // Each request keeps the session for another minute.
  for (let looks = 0; looks < 3; looks += 1) {
    server.clock.advance(40);
    assert.equal(await body(ada.get('/look')), 2);
  }
  assert.equal(await body(bob.get('/look')), 0);
  const before = [...server.cache.keys()].join();
  const sid = await body(ada.post('/login'));
  assert.ok(!before.includes(sid));
  assert.equal(await body(ada.get('/look')), 0);
  await body(ada.get('/'));
  await body(ada.post('/logout'));
  assert.equal(await promised(store).length(), 0);
  assert.equal(await body(ada.get('/')), 1);
});

test('threads of an application share their sessions', async (t) => {
  const store = new MemcacheStore({ name: 'sessions' });
  t.after(() => store.close());
  const worker = thread(
    `const { MemcacheStore } = require(data);
     const store = new MemcacheStore({ name: 'sessions' });
     store.set('a', { cookie: {}, name: 'Ada' }, () => parent.postMessage('done'));
     parent.once('message', () => process.exit());`,
    require.resolve('memcache-rs/express-session'),
  );
  await message(worker);
  assert.equal((await promised(store).get('a')).name, 'Ada');
  worker.postMessage('end');
  await once(worker, 'exit');
  assert.equal((await promised(store).get('a')).name, 'Ada');
});

test('both module systems have the same class', async () => {
  assert.equal((await import('memcache-rs/express-session')).MemcacheStore, MemcacheStore);
  assert.ok(MemcacheStore.prototype instanceof session.Store);
});
