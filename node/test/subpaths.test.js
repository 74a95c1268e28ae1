// The types of the subpaths, in both module systems.
'use strict';

const assert = require('node:assert/strict');
const { join } = require('node:path');
const { test } = require('node:test');
const { PACKAGE, node } = require('./project.js');

test('types', async () => {
  const { code, output } = await node(PACKAGE, [require.resolve('typescript/bin/tsc'), '-p', join(__dirname, 'subpaths')]);
  assert.equal(code, 0, output);
});
