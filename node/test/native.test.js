// The errors of the loader name the fix.
'use strict';

const assert = require('node:assert/strict');
const { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { endianness, tmpdir } = require('node:os');
const { basename, join } = require('node:path');
const { test } = require('node:test');
const native = require('../native.js');
const { INDEX, run } = require('./support.js');

/** A copy of the loader in a directory without an addon. */
function elsewhere(t) {
  const directory = mkdtempSync(join(tmpdir(), 'loader-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'native.js');
  copyFileSync(require.resolve('../native.js'), path);
  return [require(path), directory];
}

/** Returns a check of the loader's error. */
function refusal(message, cause = /./) {
  return (error) => {
    assert.equal(error.code, 'ERR_MEMCACHE_NO_BINARY');
    assert.match(error.message, /^memcache-rs cannot load its addon for linux-(x64|arm64) with (glibc \d|musl)/);
    assert.match(error.message, message);
    assert.match(String(error.cause?.code), cause);
    return true;
  };
}

test('an addon that is not installed', (t) => {
  const [{ load }] = elsewhere(t);
  const message =
    /optional dependencies were omitted. To fix it, run "npm install --include=optional memcache-rs", or build/;
  assert.throws(load, refusal(message, /^MODULE_NOT_FOUND$/));
});

test('the addon of another platform', (t) => {
  const [{ load }, directory] = elsewhere(t);
  const other = process.arch === 'x64' ? 'linux-arm64-gnu' : 'linux-x64-gnu';
  const place = join(directory, 'node_modules', '@memcache-rs', other);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'index.js'), '');
  const fix = `node_modules has the addon for ${other}. To fix it, run "npm install --os=linux --cpu=${process.arch}`;
  assert.throws(load, refusal(new RegExp(fix)));
});

test('a checkout without a build', (t) => {
  const [, directory] = elsewhere(t);
  mkdirSync(join(directory, 'bindings', 'node'), { recursive: true });
  writeFileSync(join(directory, 'bindings', 'node', 'Cargo.toml'), '');
  mkdirSync(join(directory, 'node'));
  const path = join(directory, 'node', 'native.js');
  copyFileSync(require.resolve('../native.js'), path);
  assert.throws(require(path).load, refusal(/it is not built yet. To fix it, run "node .*install\.js" \(needs Rust\)\.$/));
});

test('a file that is damaged', (t) => {
  const [{ load }, directory] = elsewhere(t);
  writeFileSync(join(directory, basename(native.builtPath)), 'nothing');
  assert.throws(load, refusal(/too short.* install memcache-rs again/, /^ERR_DLOPEN_FAILED$/));
});

test('an addon for another CPU', (t) => {
  const [{ load }, directory] = elsewhere(t);
  // The header of a shared library for a machine that does not exist.
  const header = Buffer.alloc(4096);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, endianness() === 'LE' ? 1 : 2, 1]);
  header.writeUInt16LE(3, 16);
  header.writeUInt16LE(0xfefe, 18);
  header.writeUInt32LE(1, 20);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  writeFileSync(join(directory, basename(native.builtPath)), header);
  assert.throws(load, refusal(/for another CPU or operating system .*--cpu=/, /^ERR_DLOPEN_FAILED$/));
});

test('a process that may not load addons', async () => {
  const { code, stderr } = await run('', { args: ['--no-addons'] });
  assert.equal(code, 1, INDEX);
  assert.match(stderr, /this process may not load addons. To fix it, run Node without --no-addons/);
});

test('failures of other machines', () => {
  const host = { platform: 'linux-x64', glibc: '2.28', node: '20.0.0', isCheckout: false, installed: [] };
  const failed = (message) => Object.assign(new Error(message), { code: 'ERR_DLOPEN_FAILED' });
  const missing = Object.assign(new Error(), { code: 'MODULE_NOT_FOUND' });
  const cases = [
    [failed("/lib/libm.so.6: version `GLIBC_2.35' not found"), {}, /linux-x64 with glibc 2\.28: it needs a newer glibc/],
    [failed('libc.musl-x86_64.so.1: cannot open shared object file'), {}, /another C library .*--libc=glibc memcache-rs"/],
    [
      failed('Error loading shared library ld-linux-x86-64.so.2'),
      { glibc: undefined },
      /linux-x64 with musl: .*--libc=musl memcache-rs"/,
    ],
    [missing, { node: '18.20.1' }, /needs Node 20 or later, got 18\.20\.1\. To fix it, update Node\.$/],
    [undefined, { platform: 'darwin-arm64' }, /for darwin-arm64: binaries exist for Linux .*, run the program on Linux/],
    [undefined, { platform: 'linux-riscv64' }, /for Linux on x64 and arm64 only. To fix it, build it with Rust/],
  ];
  for (const [error, differs, message] of cases) assert.match(native.explain(error, { ...host, ...differs }), message);
});
