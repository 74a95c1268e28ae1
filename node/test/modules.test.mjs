// The package as an ECMAScript module.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import * as memcache from 'memcache-rs';

const required = createRequire(import.meta.url)('memcache-rs');

test('import gives the same objects as require', () => {
  const { default: _, ...imported } = memcache;
  assert.deepEqual(Object.keys(imported).sort(), Object.keys(required).sort());
  for (const [name, value] of Object.entries(imported)) assert.equal(value, required[name], name);
});

test('a cache and a server', async () => {
  const server = await memcache.Server.start();
  server.cache.set('key', 'value', 60);
  assert.equal(server.cache.getString('key'), 'value');
  assert.equal(await server.cache.getOrSet('other', async () => 'made').then(String), 'made');
  const socket = connect(server.port, server.host);
  socket.end('get key\r\nquit\r\n');
  assert.equal(await text(socket), 'VALUE key 0 5\r\nvalue\r\nEND\r\n');
  await server.close();
  assert.throws(() => server.cache, memcache.ClosedError);
});
