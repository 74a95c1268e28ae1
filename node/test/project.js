// Projects in which this package is installed and a test runner runs.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { dirname, join } = require('node:path');

const PACKAGE = join(__dirname, '..');

/** Creates a project of files by name, and of packages that this package is tested with. */
function project(t, packages, files) {
  const root = mkdtempSync(join(tmpdir(), 'memcache-project-'));
  t.after(() => rmSync(root, { recursive: true }));
  write(root, { 'package.json': '{ "private": true, "type": "module" }', ...files });
  link(PACKAGE, join(root, 'node_modules', 'memcache-rs'));
  for (const name of packages) link(join(PACKAGE, 'node_modules', name), join(root, 'node_modules', name));
  return root;
}

function write(root, files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
}

function link(to, path) {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(to, path);
}

/** Starts Node in a project, without the environment of this test. */
function start(root, args, env = {}) {
  const clean = Object.entries(process.env).filter(([name]) => !/^(NODE_|JEST_|VITEST|MEMCACHED$|FORCE_COLOR$)/.test(name));
  return spawn(process.execPath, args, {
    cwd: root,
    env: { ...Object.fromEntries(clean), NO_COLOR: '1', CI: 'true', ...env },
    stdio: 'pipe',
  });
}

/** Runs Node in a project, and returns its output. */
async function node(root, args, env) {
  const child = start(root, args, env);
  child.stdin.end();
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const [code] = await once(child, 'close');
  return { code, output };
}

const vitest = (root, ...args) => node(root, ['node_modules/vitest/vitest.mjs', 'run', ...args]);
const jest = (root, ...args) => node(root, ['node_modules/jest/bin/jest.js', '--cacheDirectory=.jest', ...args]);

module.exports = { PACKAGE, jest, node, project, start, vitest };
