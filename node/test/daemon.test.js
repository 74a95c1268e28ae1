// The daemon of the package, as `npx memcached-rs` runs it.
'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { MEMCACHED_VERSION } = require('../index.js');
const { ask } = require('./support.js');

const PROGRAM = join(__dirname, '..', 'bin', 'memcached-rs.js');
const USER = process.getuid() === 0 ? ['-u', 'root'] : [];

function daemon(...flags) {
  const child = spawn(process.execPath, [PROGRAM, ...flags, ...USER], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (child.text += chunk));
  return child;
}

/** Returns a path for a socket, in a directory that is removed after the test. */
function socket(t) {
  const directory = mkdtempSync(join(tmpdir(), 'daemon-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'socket');
}

/** Asks until the daemon answers. */
async function answer(path, line) {
  for (;;) {
    try {
      return await ask({ path }, line);
    } catch (error) {
      if (!['ENOENT', 'ECONNREFUSED'].includes(error.code)) throw error;
      await sleep(5);
    }
  }
}

test('it prints its version, and refuses unknown flags', () => {
  const version = spawnSync(process.execPath, [PROGRAM, '-V'], { encoding: 'utf8' });
  assert.equal(version.status, 0);
  assert.ok(version.stdout.includes(MEMCACHED_VERSION));
  const refused = spawnSync(process.execPath, [PROGRAM, '--nothing'], { encoding: 'utf8' });
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /nothing/);
});

for (const [signal, words] of [
  ['SIGTERM', ''],
  ['SIGINT', ''],
  ['SIGUSR1', 'Gracefully stopping\n'],
]) {
  test(`it serves until ${signal} comes`, { timeout: 60_000 }, async (t) => {
    const path = socket(t);
    const child = daemon('-s', path);
    t.after(() => child.kill('SIGKILL'));
    assert.equal(await answer(path, 'version'), `VERSION ${MEMCACHED_VERSION}\r\n`);
    const close = once(child, 'close');
    child.kill(signal);
    assert.deepEqual(await close, [0, null]);
    const [start, ...rest] = child.text.split(/(?<=\n)/);
    assert.match(start, /^memcached-rs [0-9.]+ listens on unix:/);
    assert.equal(rest.join(''), words);
    assert.equal(existsSync(path), false);
  });
}

test('SIGHUP reads files again', { timeout: 60_000 }, async (t) => {
  const path = socket(t);
  const passwords = `${path}-passwords`;
  writeFileSync(passwords, 'ada:one\n');
  const child = daemon('-s', path, '-Y', passwords);
  t.after(() => child.kill('SIGKILL'));
  const login = (password) => `set auth 0 0 ${4 + password.length}\r\nada ${password}`;
  assert.equal(await answer(path, `${login('one')}\r\nmn`), 'STORED\r\nMN\r\n');
  writeFileSync(passwords, 'ada:another\n');
  child.kill('SIGHUP');
  while (!(await answer(path, `${login('another')}\r\nmn`)).startsWith('STORED')) await sleep(5);
  const close = once(child, 'close');
  child.kill('SIGTERM');
  assert.deepEqual(await close, [0, null]);
});

test('it goes into the background', { timeout: 60_000 }, async (t) => {
  const path = socket(t);
  const file = `${path}-pid`;
  const child = daemon('-d', '-s', path, '-P', file);
  const [status] = await once(child, 'close');
  assert.equal(status, 0, child.text);
  assert.equal(await answer(path, 'mn'), 'MN\r\n');
  // The file is written after the server has started.
  let number = '';
  while (!number.endsWith('\n')) {
    await sleep(5);
    number = existsSync(file) ? readFileSync(file, 'utf8') : '';
  }
  process.kill(Number(number), 'SIGTERM');
  while (existsSync(file)) await sleep(5);
});
