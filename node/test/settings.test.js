// Settings by name, as the cases of the core say.
'use strict';

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
const { Cache, ConfigError, Server } = require('..');

const CASES = readFileSync(join(__dirname, '../../core/tests/settings.txt'), 'utf8')
  .split('\n')
  .filter((line) => line && !line.startsWith('#') && !line.startsWith('['))
  .map((line) => line.split(' | '));

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

test('every value is answered as the cases of the core say', () => {
  for (const [name, value, answer] of CASES) {
    // These are options of their own, which the server passes to the table as numbers.
    const create = () => new Server({ settings: { [camel(name)]: value } });
    if (['threads', 'max_connections', 'idle_timeout', 'shutdown_enabled'].includes(name)) continue;
    if (answer === 'ok') create();
    else assert.throws(create, { name: 'ConfigError', message: answer.replaceAll(name, camel(name)) }, name);
  }
});

test('settings reach the cache and the server', async (t) => {
  const cache = new Cache({ settings: { lruCrawler: false, growthFactor: 1.5 } });
  t.after(() => cache.close());
  assert.equal(cache.stats('settings').growth_factor, '1.50');
  const server = await Server.start({ threads: 2, settings: { backlog: 7, chunkSize: 64 } });
  t.after(() => server.close());
  const { tcp_backlog, chunk_size, num_threads } = server.stats('settings');
  assert.deepEqual([tcp_backlog, chunk_size, num_threads], [7, 64, 2]);
  assert.throws(() => new Cache({ settings: { threads: 2 } }), ConfigError);
  assert.throws(() => new Server({ threads: 0 }), { name: 'ConfigError', message: /^Number of threads/ });
});
