// The application in examples/node passes its tests.
'use strict';

const assert = require('node:assert/strict');
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
const { PACKAGE, node, project } = require('./project.js');

const EXAMPLE = join(PACKAGE, '..', 'examples', 'node');

test('the example passes its own tests, with the versions that it asks for', async (t) => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(EXAMPLE, 'package.json'), 'utf8'));
  const { 'memcache-rs': here, ...others } = { ...dependencies, ...devDependencies };
  assert.equal(here, 'file:../../node');
  const tested = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')).devDependencies;
  for (const [name, range] of Object.entries(others)) assert.equal(range, `^${tested[name]}`);
  const names = readdirSync(EXAMPLE).filter((name) => name.endsWith('.js') || name === 'package.json');
  const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(EXAMPLE, name), 'utf8')]));
  const root = project(t, Object.keys(others), files);
  const { code, output } = await node(root, ['--test', '--test-reporter=tap']);
  assert.equal(code, 0, output);
  assert.match(output, /# pass 8\n/);
});
