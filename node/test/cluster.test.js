// Several servers.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Cluster } = require('../index.js');
const { ask, place, refuses } = require('./support.js');

/** Returns the nodes that a server announces. */
const announced = async (server) =>
  Array.from((await ask(place(server), 'config get cluster')).matchAll(/\|([\d.]+\|\d+)/g), ([, node]) => node);

test('its nodes announce each other', async (t) => {
  const cluster = await Cluster.start(3);
  t.after(() => cluster.close());
  assert.equal(cluster.length, 3);
  assert.equal(new Set(cluster.addresses).size, 3);
  const all = cluster.addresses.map((address) => address.replace(':', '|'));
  for (const server of cluster) assert.deepEqual(await announced(server), all);
  const [first, second] = cluster.servers;
  second.cache.set('key', 'value');
  const { port } = second;
  await cluster.kill(1);
  assert.ok(await refuses(port));
  assert.deepEqual(
    cluster.addresses.map((address) => address.replace(':', '|')),
    all,
  );
  assert.deepEqual(await announced(first), [all[0], all[2]]);
  await cluster.revive(1);
  assert.equal(second.port, port);
  assert.equal(second.cache.size, 0);
  assert.deepEqual(await announced(second), all);
  await cluster.close();
  assert.ok((await Promise.all(all.map((node) => refuses(Number(node.split('|')[1]))))).every(Boolean));
});

test('invalid options are refused, and leave nothing', async () => {
  for (const [size, options] of [[0], [1.5], [2, { port: 11211 }], [2, { name: 'a' }], [2, { nothing: 1 }]]) {
    await assert.rejects(Cluster.start(size, options), { name: 'ConfigError' });
  }
  await assert.rejects(Cluster.start(2, { unixSocket: true }), { name: 'ConfigError', message: /host/ });
  await assert.rejects(Cluster.start(2, { host: '192.0.2.1' }), { name: 'StartError' });
  const cluster = new Cluster();
  assert.throws(() => cluster.addresses, { name: 'ClosedError' });
  await assert.rejects(cluster.kill(3), { name: 'ConfigError' });
  await cluster[Symbol.asyncDispose]();
});
