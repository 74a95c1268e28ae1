// The helpers for test runners, each run in a project of its own, as a user runs them.
'use strict';

const assert = require('node:assert/strict');
const { appendFileSync, existsSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
const { jest, node, project, start, vitest } = require('./project.js');
const { refuses } = require('./support.js');

// Shared by the projects.
const ASK = `
  import net from 'node:net';

  export async function ask(address, ...lines) {
    const [host, port] = address.split(':');
    const socket = net.connect(Number(port), host);
    socket.end([...lines, 'quit', ''].join('\\r\\n'));
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text;
  }
`;

// Tests for any runner with `memcache`, `memcacheCluster` and MEMCACHED. Several files have them,
// and all files store the same keys.
const TESTS = (number) => `
  // An application may read its configuration when it is loaded.
  const address = process.env.MEMCACHED;
  // The same for a test file, or for all files of a worker.
  globalThis.address ??= address;

  for (let n = 0; n < 20; n += 1) {
    test('empty for each test ' + n, async () => {
      expect(address).toBe(memcache.address);
      expect(address).toBe(globalThis.address);
      expect(memcache.cache.size).toBe(0);
      expect(memcache.lastCommands).toEqual([]);
      expect(Math.abs(memcache.clock.time() - Date.now() / 1000)).toBeLessThan(5);
      expect(await ask(address, 'set key 0 0 1', String(n % 10), 'incr key ${number}')).toMatch(/^STORED/);
      expect(memcache.cache.getString('key')).toBe(String(n % 10 + ${number}));
      memcache.clock.freeze();
      memcache.clock.advance(n % 2 ? 3600 : -40);
      memcache.faults.drop();
      if (n === 7) await memcache.close();
    });
  }

  test('time goes on', async () => {
    const before = memcache.clock.time();
    while (memcache.clock.time() === before) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  test('the clock', async () => {
    memcache.cache.set('key', 'value', 3600);
    memcache.clock.freeze();
    memcache.clock.advance(3599);
    expect(await ask(address, 'get key')).toMatch(/^VALUE/);
    memcache.clock.advance(1);
    expect(await ask(address, 'get key')).toBe('END\\r\\n');
  });

  test('a fault', async () => {
    memcache.faults.error('out of order', { command: 'get' });
    expect(await ask(address, 'get key')).toBe('SERVER_ERROR out of order\\r\\n');
  });

  test('a cluster', async () => {
    const cluster = await memcacheCluster(2, { proxy: true });
    expect(await ask(cluster.address, 'get key')).toBe('END\\r\\n');
    const told = await ask(cluster.addresses[0], 'config get cluster');
    for (const node of cluster) expect(told).toContain(node.host + '|' + node.port);
    globalThis.nodes = cluster.servers;
  });

  test('and no cluster', () => {
    expect(globalThis.nodes.map((node) => node.running)).toEqual([false, false]);
  });
`;

const FAILING = `
  test('passes', async () => {
    await ask(process.env.MEMCACHED, 'get of-another-test');
  });
  test('fails', async () => {
    for (let n = 0; n < 30; n += 1) await ask(process.env.MEMCACHED, 'get key' + n);
    const cluster = await memcacheCluster(2);
    await ask(cluster.addresses[1], 'get of-a-node');
    const client = memjs.Client.create(process.env.MEMCACHED);
    await client.set('of-memjs', 'value', { expires: 60 });
    await client.get('of-memjs');
    client.close();
    expect('seen').toBe('not seen');
  });
  test('fails without asking', () => {
    expect('seen').toBe('not seen');
  });
`;

// Tests for any runner. `faker` replaces Date and the timers, and does not restore them.
const FAKED = `
  const real = Date.now;
  const years = ['0001', '1960', '1970', '1999', '2037', '2105', '2107', '2500', '9999'];

  for (const year of years) {
    test('a test at the turn of ' + year, async () => {
      expect(Math.abs(memcache.clock.time() - real() / 1000)).toBeLessThan(5);
      faker.useFakeTimers();
      faker.setSystemTime(new Date(year + '-01-01T00:00:00Z'));
      memcache.cache.set('key', 'value', 60);
      expect(await ask(process.env.MEMCACHED, 'get key')).toMatch(/^VALUE/);
      memcache.clock.freeze();
      memcache.clock.advance(60);
      expect(await ask(process.env.MEMCACHED, 'get key')).toBe('END\\r\\n');
      const cluster = await memcacheCluster(1);
      expect(Math.abs(cluster.servers[0].clock.time() - real() / 1000)).toBeLessThan(5);
      expect(String(await memcache.cache.getOrSet('made', async () => 'value'))).toBe('value');
    });
  }
`;

/** Checks that a run of FAILING showed the commands of its servers. */
function shown(output) {
  assert.match(output, /memcached at memcache:\/\/127\.0\.0\.1:\d+: last commands\s+\.\.\.\s+/);
  assert.match(output, /get key29\s+quit\s+binary set of-memjs 0 60 5\s+binary get of-memjs\s/);
  assert.match(output, /get of-a-node\s+quit/);
  assert.doesNotMatch(output, /get of-another-test/);
  assert.doesNotMatch(output, /get key3\s/);
  assert.equal(output.match(/last commands/g).length, 2, output);
}

const files = (count, name, text) => Object.fromEntries(Array.from({ length: count }, (_, n) => [name(n), text(n)]));

// Vitest.

const VITEST_HEAD = `
  import { expect, test } from 'vitest';
  import { memcache, memcacheCluster } from 'memcache-rs/vitest';
  import { ask } from './ask.js';
`;
const vitestConfig = (test) =>
  `export default { test: ${JSON.stringify({ setupFiles: ['memcache-rs/vitest'], ...test })} };`;

for (const [name, settings] of Object.entries({
  processes: { pool: 'forks', maxWorkers: 2 },
  threads: { pool: 'threads', maxWorkers: 2 },
  'processes that run several files': { pool: 'forks', maxWorkers: 2, isolate: false },
  'threads that run several files': { pool: 'threads', maxWorkers: 2, isolate: false },
  'contexts of threads': { pool: 'vmThreads', maxWorkers: 2 },
  'contexts of processes': { pool: 'vmForks', maxWorkers: 2 },
})) {
  test(`Vitest: ${name}`, async (t) => {
    const root = project(t, ['vitest'], {
      'ask.js': ASK,
      'vitest.config.js': vitestConfig(settings),
      ...files(
        4,
        (n) => `${n}.test.js`,
        (n) => VITEST_HEAD + TESTS(n),
      ),
    });
    const { code, output } = await vitest(root);
    assert.equal(code, 0, output);
    assert.match(output, /Tests +100 passed \(100\)/);
  });
}

test('Vitest: settings, and a test that fails', async (t) => {
  const root = project(t, ['vitest', 'memjs'], {
    'ask.js': ASK,
    'vitest.config.js': vitestConfig({ provide: { memcache: { memoryLimit: 32 << 20 } } }),
    'settings.test.js': `${VITEST_HEAD}
      test('settings', () => expect(memcache.stats('settings').maxbytes).toBe(32 << 20));`,
    'failing.test.js': `${VITEST_HEAD}import memjs from 'memjs';${FAILING}`,
  });
  const { code, output } = await vitest(root);
  assert.equal(code, 1, output);
  assert.match(output, /Tests +2 failed \| 2 passed \(4\)/);
  shown(output);
});

test('Vitest: the time of a server is right in each faked year', async (t) => {
  const root = project(t, ['vitest'], {
    'ask.js': ASK,
    'vitest.config.js': vitestConfig({}),
    'faked.test.js': `${VITEST_HEAD}import { vi as faker } from 'vitest';${FAKED}`,
  });
  const { code, output } = await vitest(root);
  assert.equal(code, 0, output);
  assert.match(output, /Tests +9 passed \(9\)/);
});

test('Vitest: one server for all', async (t) => {
  const text = (key) => `
    import { expect, inject, test } from 'vitest';
    import { ask } from './ask.js';
    test('stores', async () => {
      expect(process.env.MEMCACHED).toBe(inject('memcached'));
      expect(await ask(inject('memcached'), 'set ${key} 0 0 1', '1', "stats settings")).toMatch(/^STORED.*maxbytes 33554432/s);
    });`;
  const root = project(t, ['vitest'], {
    'ask.js': ASK,
    'vitest.config.js': `export default {
      test: { globalSetup: ['./first.js', 'memcache-rs/global-setup'], provide: { memcache: { memoryLimit: 32 << 20 } }, maxWorkers: 2 }
    };`,
    // Its teardown runs after those of the other setups.
    'first.js': `
      import { ask } from './ask.js';
      export default () => async () => console.log('at the end', await ask(process.env.MEMCACHED, 'mn').catch(({ code }) => code));`,
    ...files(3, (n) => `${n}.test.js`, text),
  });
  const { code, output } = await vitest(root);
  assert.equal(code, 0, output);
  assert.match(output, /Tests +3 passed/);
  assert.match(output, /at the end ECONNREFUSED/);
});

// Jest.

const jestConfig = (config) =>
  `module.exports = ${JSON.stringify({ testEnvironment: 'memcache-rs/jest', transform: {}, ...config })};`;
const ASK_CJS = `${ASK.replace(/import net from 'node:net';/, "const net = require('node:net');").replace('export ', '')}
  module.exports = { ask };`;
const JEST_HEAD = "const { ask } = require('./ask.cjs');\n";

test('Jest: processes', async (t) => {
  const root = project(t, ['jest'], {
    'ask.cjs': ASK_CJS,
    'jest.config.cjs': jestConfig({ testMatch: ['**/*.test.cjs'] }),
    ...files(
      4,
      (n) => `${n}.test.cjs`,
      (n) => JEST_HEAD + TESTS(n),
    ),
  });
  for (const workers of ['--maxWorkers=2', '--runInBand']) {
    const { code, output } = await jest(root, workers);
    assert.equal(code, 0, output);
    assert.match(output, /Tests: +100 passed, 100 total/);
    assert.doesNotMatch(output, /did not exit|force exited/);
  }
});

test('Jest: settings, another environment, and a test that fails', async (t) => {
  const root = project(t, ['jest', 'jest-environment-node', 'memjs'], {
    'ask.cjs': ASK_CJS,
    'environment.cjs': `
      const { TestEnvironment } = require('jest-environment-node');
      const { withMemcache } = require('memcache-rs/jest');
      module.exports = withMemcache(class extends TestEnvironment {
        async setup() {
          await super.setup();
          this.global.other = 'environment';
        }
      });`,
    'jest.config.cjs': jestConfig({
      testMatch: ['**/*.test.cjs'],
      testEnvironmentOptions: { memcache: { memoryLimit: 32 << 20 } },
    }),
    'settings.test.cjs': `
      test('settings', () => expect(memcache.stats('settings').maxbytes).toBe(32 << 20));`,
    'other.test.cjs': `/** @jest-environment ./environment.cjs */
      test('another environment', () => {
        expect(other).toBe('environment');
        expect(process.env.MEMCACHED).toBe(memcache.address);
        const child = require('node:child_process').execFileSync(process.execPath, ['-p', 'process.env.MEMCACHED']);
        expect(String(child).trim()).toBe(memcache.address);
      });`,
    'failing.test.cjs': `${JEST_HEAD}const memjs = require('memjs');${FAILING}`,
  });
  const { code, output } = await jest(root);
  assert.equal(code, 1, output);
  assert.match(output, /Tests: +2 failed, 3 passed, 5 total/);
  shown(output);
});

test('Jest: the time of a server is right in each faked year', async (t) => {
  const root = project(t, ['jest'], {
    'ask.cjs': ASK_CJS,
    'jest.config.cjs': jestConfig({ testMatch: ['**/*.test.cjs'] }),
    'faked.test.cjs': `${JEST_HEAD}const faker = jest;${FAKED}`,
  });
  const { code, output } = await jest(root);
  assert.equal(code, 0, output);
  assert.match(output, /Tests: +9 passed, 9 total/);
});

test('Jest: errors and arguments match those of the test, for each copy of the package', async (t) => {
  const root = project(t, ['jest'], {
    'jest.config.cjs': jestConfig({ testMatch: ['**/*.test.cjs'] }),
    'realms.test.cjs': `
      const package_ = require('memcache-rs');
      jest.resetModules();
      const other = require('memcache-rs');

      const server = async (options) => {
        const made = await package_.Server.start(options);
        await made.close();
      };

      test('copies', () => expect(other.Server).not.toBe(package_.Server));

      for (const { InvalidKeyError, InvalidTTLError, MemcacheError, ConfigError, ClosedError } of [package_, other]) {
        test('errors of the server of the test file', async () => {
          const { cache } = memcache;
          for (const Kind of [InvalidKeyError, MemcacheError, Error]) {
            expect(() => cache.get('')).toThrow(Kind);
            await expect(cache.getOrSet('', () => '')).rejects.toThrow(Kind);
          }
          expect(() => cache.set('key', 'value', -1)).toThrow(InvalidTTLError);
          expect(() => cache.set('key', 'value', -1)).not.toThrow(InvalidKeyError);
          expect(() => cache.get(5)).toThrow(TypeError);
          expect(() => cache.incr('key', -1)).toThrow(RangeError);
          expect(() => memcache.faults.delay('1')).toThrow(TypeError);
          expect(() => memcache.watch('nothing')).toThrow(ConfigError);
          await expect(memcacheCluster(0)).rejects.toThrow(ConfigError);
          await expect(memcache.close({ timeout: -1 })).rejects.toThrow(RangeError);
          await memcache.close();
          expect(() => memcache.cache).toThrow(ClosedError);
        });

        test('a class that a test derives is its own', () => {
          class Own extends InvalidKeyError {}
          expect(() => memcache.cache.get('')).not.toThrow(Own);
          expect(new Own()).toBeInstanceOf(Own);
          expect(new Own()).toBeInstanceOf(InvalidKeyError);
        });
      }

      test('objects', async () => {
        for (const copy of [package_, other]) {
          expect(memcache).toBeInstanceOf(copy.Server);
          expect(memcache.cache).toBeInstanceOf(copy.Cache);
          expect(memcache.clock).toBeInstanceOf(copy.Clock);
          expect(memcache.faults).toBeInstanceOf(copy.Faults);
          expect(await memcacheCluster(1)).toBeInstanceOf(copy.Cluster);
          expect(copy.Cache.prototype instanceof copy.Server).toBe(false);
        }
        expect(new Map()).not.toBeInstanceOf(package_.Cache);
        expect(memcache.cache.getMany(['nothing'])).toBeInstanceOf(Map);
      });

      test('a cache of another copy', async () => {
        const cache = new other.Cache();
        const served = await package_.Server.start({ cache });
        expect(served.cache).toBe(cache);
        served.cache.set('key', 'value', new Date(Date.now() + 60_000));
        expect(cache.getItem('key').ttl).toBeGreaterThan(50);
        await served.close();
        const { KeyvMemcache } = require('memcache-rs/keyv');
        const store = new KeyvMemcache({ cache: memcache.cache });
        await store.set('key', 'value', 1000);
        expect(memcache.cache.getString('key')).toBe('value');
      });

      test('users in a Map must log in', async () => {
        const cluster = await memcacheCluster(1, { users: new Map([['Ada', 'secret']]), auth: 'text' });
        const { ask } = require('./ask.cjs');
        const answers = await ask(cluster.addresses[0], 'get key', 'set auth 0 0 10', 'Ada secret', 'get key');
        expect(answers).toBe('CLIENT_ERROR unauthenticated\\r\\nSTORED\\r\\nEND\\r\\n');
      });

      test('arguments that cannot be understood are errors', async () => {
        const wrong = [new Map([['users', {}]]), { users: [['Ada', 'secret']] }, { users: new Map([['Ada', 5]]) }, { cache: new Map() }];
        for (const options of wrong) await expect(server(options)).rejects.toThrow(package_.ConfigError);
      });
    `,
    'ask.cjs': ASK_CJS,
  });
  const { code, output } = await jest(root);
  assert.equal(code, 0, output);
  assert.match(output, /Tests: +9 passed, 9 total/);
});

test('Jest: one server for all', async (t) => {
  const root = project(t, ['jest'], {
    'ask.cjs': ASK_CJS,
    'jest.config.cjs': jestConfig({
      testEnvironment: 'node',
      globalSetup: 'memcache-rs/global-setup',
      testEnvironmentOptions: { memcache: { memoryLimit: 32 << 20 } },
      testMatch: ['**/*.test.cjs'],
    }),
    ...files(
      3,
      (n) => `${n}.test.cjs`,
      (n) => `${JEST_HEAD}
      test('stores', async () => {
        const stored = await ask(process.env.MEMCACHED, 'set ${n} 0 0 1', '1', 'stats settings');
        expect(stored).toMatch(/^STORED.*maxbytes 33554432/s);
      });`,
    ),
  });
  for (const workers of ['--maxWorkers=2', '--runInBand']) {
    const { code, output } = await jest(root, workers);
    assert.equal(code, 0, output);
    assert.match(output, /Tests: +3 passed, 3 total/);
    assert.doesNotMatch(output, /did not exit|force exited/);
  }
});

test('Jest: one server at a time, for each number of setups', async (t) => {
  const setup = require('memcache-rs/global-setup');
  const teardown = require('memcache-rs/global-teardown');
  assert.equal((await import('memcache-rs/global-teardown')).default, teardown);
  t.after(teardown);
  const lives = async (place) => !(await refuses(Number(place.split(':')[1])));
  await setup({}, { testEnvironmentOptions: { memcache: { memoryLimit: 32 << 20 } } });
  const first = process.env.MEMCACHED;
  await setup({}, { testEnvironmentOptions: {} });
  const second = process.env.MEMCACHED;
  assert.notEqual(first, second);
  assert.deepEqual([await lives(first), await lives(second)], [false, true]);
  await teardown();
  assert.equal(await lives(second), false);
  await teardown();
});

test('Jest: watch mode', async (t) => {
  const root = project(t, ['jest'], {
    'ask.cjs': ASK_CJS,
    'jest.config.cjs': jestConfig({
      testEnvironment: 'node',
      globalSetup: 'memcache-rs/global-setup',
      globalTeardown: 'memcache-rs/global-teardown',
      testMatch: ['**/*.test.cjs'],
      watchPathIgnorePatterns: ['places'],
    }),
    'watched.test.cjs': `${JEST_HEAD}
      const { appendFileSync, readFileSync } = require('node:fs');
      test('one server', async () => {
        const { MEMCACHED } = process.env;
        appendFileSync('places', MEMCACHED + '\\n');
        const places = new Set(readFileSync('places', 'utf8').trim().split('\\n'));
        places.delete(MEMCACHED);
        expect(await ask(MEMCACHED, 'mn')).toBe('MN\\r\\n');
        for (const place of places) await expect(ask(place, 'mn')).rejects.toThrow('ECONNREFUSED');
      });`,
  });
  const child = start(root, ['node_modules/jest/bin/jest.js', '--cacheDirectory=.jest', '--watchAll']);
  t.after(() => child.kill('SIGKILL'));
  const ends = [];
  let output = '';
  const ended = (number) =>
    new Promise((resolve, reject) => {
      child.on('exit', () => reject(new Error(output)));
      const look = () => output.split('Ran all test suites').length > number && resolve();
      ends.push(look);
      look();
    });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
      for (const look of ends) look();
    });
  }
  await ended(1);
  // A change starts another run, once Jest has begun to watch.
  const change = setInterval(() => appendFileSync(join(root, 'watched.test.cjs'), '// changed\n'), 1000);
  t.after(() => clearInterval(change));
  await ended(2);
  assert.doesNotMatch(output, /Tests: +1 failed/);
  assert.ok(new Set(readFileSync(join(root, 'places'), 'utf8').trim().split('\n')).size > 1);
});

test('Jest: servers that a test leaves running end with the process', async (t) => {
  const root = project(t, ['jest'], {
    'jest.config.cjs': jestConfig({ testEnvironment: 'node', testMatch: ['**/*.test.cjs'] }),
    'left.test.cjs': `
      const { writeFileSync } = require('node:fs');
      const { Server } = require('memcache-rs');
      test('leaves a server', async () => {
        const server = await Server.start({ unixSocket: true });
        writeFileSync('left', server.unixSocket);
      });`,
  });
  const { code, output } = await jest(root, '--runInBand', '--forceExit');
  assert.equal(code, 0, output);
  assert.equal(existsSync(readFileSync(join(root, 'left'), 'utf8')), false);
});

// node:test.

const NODE_HEAD = `
  import assert from 'node:assert/strict';
  import { beforeEach, describe, test } from 'node:test';
  import { memcache, memcacheCluster } from 'memcache-rs/node-test';
  import { ask } from './ask.js';
`;

test('node:test: servers of tests', async (t) => {
  const text = `${NODE_HEAD}
    const before = [];

    for (let n = 0; n < 10; n += 1) {
      // These run at once.
      test('its own ' + n, { concurrency: true }, async (t) => {
        const server = await memcache(t);
        before.push(server);
        assert.equal(server.cache.size, 0);
        server.cache.set('key', String(n));
        server.clock.freeze();
        server.clock.advance(3600 * n);
        await new Promise((resolve) => setTimeout(resolve, 10));
        assert.equal(await ask(server.address, 'get key'), 'VALUE key 0 1\\r\\n' + n + '\\r\\nEND\\r\\n');
        server.faults.drop();
        if (n === 7) await server.close();
      });
    }

    test('they ended with their tests', () => {
      assert.deepEqual(before.map((server) => server.running), Array(10).fill(false));
    });

    describe('of each test', () => {
      let server;
      beforeEach(async (t) => {
        server = await memcache(t, { memoryLimit: 32 << 20, tls: 'test' });
      });
      for (const name of ['one', 'two']) {
        test(name, () => {
          assert.equal(server.cache.size, 0);
          assert.equal(server.stats('settings').maxbytes, 32 << 20);
          assert.match(server.url, /^memcaches:/);
          server.cache.set('key', 'value');
        });
      }
    });

    test('a cluster', async (t) => {
      const cluster = await memcacheCluster(t, 2, { proxy: true });
      assert.equal(cluster.length, 2);
      assert.equal(cluster.address, cluster.proxy.address);
      await cluster.kill(0);
      assert.ok(cluster.servers[1].running);
    });
  `;
  const root = project(t, [], { 'ask.js': ASK, 'one.test.js': text, 'two.test.js': text });
  const { code, output } = await node(root, ['--test', '--test-reporter=tap']);
  assert.equal(code, 0, output);
  assert.match(output, /# pass 28\n/);
});

test('node:test: caches from snapshots', async (t) => {
  const text = `
    import assert from 'node:assert/strict';
    import { test } from 'node:test';
    import { Cache } from 'memcache-rs';
    import { memcache, warmCache } from 'memcache-rs/node-test';

    const old = new Cache();
    old.clock.freeze();
    old.set('session', 'Ada', 60);
    const path = new URL('sessions.mcrs', import.meta.url);
    await old.save(path);
    let before;

    test('a cache', async (t) => {
      before = await warmCache(t, path);
      assert.equal(before.getString('session'), 'Ada');
    });

    test('it ended with its test', () => assert.ok(before.closed));

    test('a server, and items that it has', async (t) => {
      const server = await memcache(t);
      server.clock.freeze().advance(3600);
      server.cache.set('other', 'stays');
      server.cache.set('session', 'goes');
      assert.equal(await warmCache(t, path, server), server.cache);
      assert.deepEqual([server.cache.size, server.cache.info('session').ttl], [2, 60]);
    });

    test('a cache that is given stays open', async (t) => {
      await t.test('inner', (inner) => warmCache(inner, path, old));
      assert.equal(old.closed, false);
    });

    test('refusals', async (t) => {
      await assert.rejects(warmCache(t, Buffer.from('no snapshot')), { name: 'BadSnapshotError' });
      await assert.rejects(warmCache(t, 'missing'), { name: 'FileError' });
      await assert.rejects(warmCache(path), { name: 'TypeError', message: /^t must be the context/ });
      const large = new Cache({ itemSizeMax: 4 << 20 });
      large.set('key', Buffer.alloc(3 << 20));
      await assert.rejects(warmCache(t, await large.saveToBuffer()), { name: 'OutOfMemoryError', message: /got 1 that/ });
    });
  `;
  const { code, output } = await node(project(t, [], { 'warm.test.js': text }), ['--test', '--test-reporter=tap']);
  assert.equal(code, 0, output);
});

test('node:test: a test that fails', async (t) => {
  const root = project(t, ['memjs'], {
    'ask.js': ASK,
    'failing.test.js': `${NODE_HEAD}
      import memjs from 'memjs';
      test('passes', async (t) => {
        await ask((await memcache(t)).address, 'get of-another-test');
      });
      test('fails', async (t) => {
        const server = await memcache(t);
        for (let n = 0; n < 30; n += 1) await ask(server.address, 'get key' + n);
        const cluster = await memcacheCluster(t, 2);
        await ask(cluster.addresses[1], 'get of-a-node');
        const client = memjs.Client.create(server.address);
        await client.set('of-memjs', 'value', { expires: 60 });
        await client.get('of-memjs');
        client.close();
        assert.equal('seen', 'not seen');
      });
      test('fails without asking', async (t) => {
        await memcache(t);
        assert.equal('seen', 'not seen');
      });
    `,
  });
  const { code, output } = await node(root, ['--test', '--test-reporter=tap']);
  assert.equal(code, 1, output);
  assert.match(output, /# pass 1\n# fail 2\n/);
  shown(output.replaceAll(/^# /gm, ''));
});

test('node:test: require works, and the context of a suite is refused', async () => {
  assert.equal((await import('memcache-rs/node-test')).memcache, require('memcache-rs/node-test').memcache);
  await assert.rejects(require('memcache-rs/node-test').memcache({ name: 'a suite' }), {
    name: 'TypeError',
    code: 'ERR_INVALID_ARG_TYPE',
    message: /^t must be the context of a test/,
  });
});
