// What is told where there is no binary.
'use strict';

const assert = require('node:assert/strict');
const { copyFileSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { basename, join } = require('node:path');
const { test } = require('node:test');
const native = require('../native.js');
require('./support.js');

/** The loader in a place where it finds nothing. */
function elsewhere(t) {
  const directory = mkdtempSync(join(tmpdir(), 'loader-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const place = join(directory, 'native.js');
  copyFileSync(require.resolve('../native.js'), place);
  return [require(place), directory];
}

test('no binary', (t) => {
  const [{ load }] = elsewhere(t);
  assert.throws(load, (error) => {
    assert.equal(error.code, 'ERR_MEMCACHE_NO_BINARY');
    assert.match(
      error.message,
      /^memcache-rs has no binary for [a-z0-9-]+: install it without --omit=optional, .* "npm install --install-links CHECKOUT\/node"\.$/,
    );
    assert.equal(error.cause.code, 'MODULE_NOT_FOUND');
    return true;
  });
});

test('one that cannot be loaded', (t) => {
  const [{ load }, directory] = elsewhere(t);
  writeFileSync(join(directory, basename(native.built)), 'nothing');
  assert.throws(load, { code: 'ERR_MEMCACHE_NO_BINARY', message: /that can be loaded \(.*too short/ });
});
