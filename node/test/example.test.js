// The applications in examples/node pass their tests.
'use strict';

const assert = require('node:assert/strict');
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
const { PACKAGE, node, project } = require('./project.js');

/** The examples: their directory, and the packages that this package is not tested with. */
const EXAMPLES = [
  { directory: 'node', own: [], passed: /# pass 8\n/ },
  { directory: 'node/next', own: ['next', 'react', 'react-dom'], passed: /# pass 6\n/ },
];

for (const { directory, own, passed } of EXAMPLES) {
  test(`examples/${directory} passes its own tests, with the versions that it asks for`, async (t) => {
    const example = join(PACKAGE, '..', 'examples', directory);
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(example, 'package.json'), 'utf8'));
    const { 'memcache-rs': here, ...others } = { ...dependencies, ...devDependencies };
    assert.equal(join(example, here.replace('file:', '')), PACKAGE);
    for (const name of own) delete others[name];
    const tested = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')).devDependencies;
    for (const [name, range] of Object.entries(others)) assert.equal(range, `^${tested[name]}`);
    const names = readdirSync(example).filter((name) => name.endsWith('.js') || name === 'package.json');
    const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(example, name), 'utf8')]));
    const root = project(t, Object.keys(others), files);
    const { code, output } = await node(root, ['--test', '--test-reporter=tap']);
    assert.equal(code, 0, output);
    assert.match(output, passed);
  });
}
