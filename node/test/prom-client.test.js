// The metrics of caches and servers, and the registry for prom-client.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Gauge, Registry } = require('prom-client');
const { Cache, Server } = require('memcache-rs');
const { MemcacheRegistry } = require('memcache-rs/prom-client');

/** Returns the samples of a text by name and labels, without those that change by themselves. */
function numbers(text) {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#') && !line.includes('cpu_seconds'));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

test('text in both forms', async (t) => {
  const server = await Server.start();
  t.after(() => server.close());
  server.clock.freeze();
  server.cache.set('a', '1');
  const plain = numbers(server.metrics());
  assert.equal(plain.memcached_current_items, 1);
  assert.deepEqual(numbers(server.metrics('openmetrics')), plain);
  assert.match(server.metrics('openmetrics'), /\n# EOF\n$/);
  assert.throws(() => server.metrics('xml'), /'prometheus' or 'openmetrics', got "xml"/);
  assert.throws(() => server.metrics(1), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('a closed cache has no metrics', () => {
  const cache = new Cache();
  assert.equal(numbers(cache.metrics()).memcached_current_items, 0);
  cache.close();
  assert.throws(() => cache.metrics(), { code: 'ERR_MEMCACHE_CLOSED' });
  assert.throws(() => cache.metricFamilies(), { code: 'ERR_MEMCACHE_CLOSED' });
});

for (const type of [Registry.PROMETHEUS_CONTENT_TYPE, Registry.OPENMETRICS_CONTENT_TYPE]) {
  test(`a registry writes the names and values of the server as ${type}`, async (t) => {
    const server = await Server.start();
    t.after(() => server.close());
    server.clock.freeze();
    server.cache.set('a:\\"\n', '1');
    server.stats('');
    const registry = new MemcacheRegistry(server, type);
    assert.deepEqual(numbers(await registry.metrics()), numbers(server.metrics()));
    server.cache.set('b', '1');
    assert.equal(numbers(await registry.metrics()).memcached_current_items, 2);
    const items = await registry.getSingleMetric('memcached_current_items').get();
    assert.deepEqual(items.values, [{ labels: {}, value: 2 }]);
    assert.match(await registry.getSingleMetricAsString('memcached_current_items'), /\nmemcached_current_items 2$/);
  });
}

test('a registry merges with others', async () => {
  const cache = new Cache();
  const own = new Registry();
  new Gauge({ name: 'own', help: 'Mine.', registers: [own] }).set(7);
  const text = await Registry.merge([own, new MemcacheRegistry(cache)]).metrics();
  assert.deepEqual([numbers(text).own, numbers(text).memcached_current_items], [7, 0]);
  const names = (await new MemcacheRegistry(cache).getMetricsAsJSON()).map(({ name }) => name);
  assert.ok(names.includes('memcached_up'));
});
