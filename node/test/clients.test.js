// Unmodified memcached clients for Node, each in another process than the server. The same programs
// test the daemon. scripts/setup.sh installs the clients.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { join } = require('node:path');
const { describe, test } = require('node:test');
const { Server } = require('../index.js');
require('./support.js');

const ROOT = join(__dirname, '..', '..');
const PROGRAMS = join(ROOT, 'compat', 'clients');
const MODULES = join(ROOT, 'target', 'node', 'node_modules');

/** Runs the program of a client, which fails if one of its checks fails. */
async function run(program, server, ...words) {
  const child = spawn(process.execPath, [join(PROGRAMS, program), server.host, server.port, ...words], {
    env: { ...process.env, NODE_PATH: MODULES },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  const [code, signal] = await once(child, 'close');
  assert.deepEqual([code, signal], [0, null], text);
}

describe('clients', { concurrency: 2 }, () => {
  const programs = [
    ['client_memjs.js', 'binary'],
    ['client_keyv_memcache.js', 'binary'],
    ['client_memcached.js', 'text'],
    ['client_memcache_client.js', 'text'],
    ['client_connect_memcached.js', 'text'],
  ];
  for (const [program, how] of programs) {
    test(program, async (t) => {
      const server = await Server.start();
      t.after(() => server.close());
      await run(program, server, how);
      assert.ok(server.stats().cmd_set > 0);
    });
  }

  test('client_memjs.js, by SASL', async (t) => {
    const server = await Server.start({ users: { somebody: 'secret' } });
    t.after(() => server.close());
    await run('client_memjs.js', server, 'sasl', 'somebody', 'secret');
    const { auth_cmds, auth_errors } = server.stats();
    assert.ok(auth_cmds > 0 && auth_errors > 0);
  });
});
