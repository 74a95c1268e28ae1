// With a memcached in the test process: no daemon, no mocks, no waiting.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { memcache } from 'memcache-rs/node-test';
import request from 'supertest';
import { createApp } from './app.js';
import { MemcachedSessions } from './sessions.js';

const MINUTE = 60;

let server;
let visitor;

beforeEach(async (t) => {
  server = await memcache(t);
  const sessions = new MemcachedSessions(server.address);
  t.after(() => sessions.close());
  visitor = request.agent(createApp(sessions));
});

const cart = async () => (await visitor.get('/cart').expect(200)).body;

test('a cart is kept from visit to visit', async () => {
  assert.deepEqual(await cart(), []);
  await visitor.post('/cart/apples').expect(201);
  await visitor.post('/cart/quinces').expect(201);
  await visitor.post('/cart/stones').expect(404);
  assert.deepEqual(await cart(), ['apples', 'quinces']);
  // The items of the memcached, read without a client.
  const [[key, session]] = server.cache;
  assert.match(String(key), /^session:/);
  assert.deepEqual(JSON.parse(session).cart, ['apples', 'quinces']);
});

test('it is kept for half an hour after the last visit', async () => {
  const clock = server.clock.freeze();
  await visitor.post('/cart/pears').expect(201);
  clock.advance(29 * MINUTE);
  assert.deepEqual(await cart(), ['pears']);
  clock.advance(29 * MINUTE);
  assert.deepEqual(await cart(), ['pears']);
  clock.advance(30 * MINUTE);
  assert.deepEqual(await cart(), []);
});

test('a lost cart is an empty one', async () => {
  await visitor.post('/cart/pears').expect(201);
  server.faults.miss({ key: 'session:*', times: 1 });
  assert.deepEqual(await cart(), []);
});

test('nothing is promised that is not kept', async () => {
  await visitor.post('/cart/pears').expect(201);
  server.faults.error('out of memory storing object', { command: 'set', times: 1 });
  await visitor.post('/cart/apples').expect(503);
  assert.deepEqual(await cart(), ['pears']);
});

describe('a bad day', () => {
  const days = {
    'it answers errors': () => server.faults.error('out of order'),
    'it drops connections': () => server.faults.drop(),
    'it takes too long': () => server.faults.delay(3),
    'it is gone': () => server.close(),
  };
  for (const [name, happens] of Object.entries(days)) {
    test(name, async () => {
      await visitor.post('/cart/pears').expect(201);
      await happens();
      for (let visit = 0; visit < 2; visit += 1) {
        await visitor.get('/').expect(200);
        await visitor.get('/cart').expect(503).expect('Retry-After', '10');
      }
      // Afterwards the shop works as before.
      if (server.running) server.faults.clear();
      else await server.start();
      await visitor.post('/cart/apples').expect(201);
    });
  }
});
