// Builds the addon in a checkout. `npm install --install-links` runs it before it copies the
// package. The published package has prebuilt binaries instead, and no such script.
// usage: node install.js [CARGO PROFILE]; the default is MEMCACHE_RS_PROFILE or release
'use strict';

const { spawnSync } = require('node:child_process');
const { copyFileSync, existsSync, renameSync } = require('node:fs');
const { join } = require('node:path');
const { builtPath } = require('./native.js');
const { strip } = require('./strip.js');

const root = join(__dirname, '..');
const profile = process.argv[2] ?? process.env.MEMCACHE_RS_PROFILE ?? 'release';

function fail(text) {
  console.error(`memcache-rs: ${text}`);
  process.exit(1);
}

function build() {
  const args = ['build', '--locked', '-p', 'memcache-node', '--profile', profile];
  const done = spawnSync('cargo', [...args, '--message-format', 'json-render-diagnostics'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (done.error?.code === 'ENOENT') {
    fail('building the addon needs Rust: install it from https://rustup.rs and try again');
  }
  if (done.status !== 0) fail('cargo failed to build the addon: see its messages above');
  const messages = done.stdout.split('\n').filter((line) => line.startsWith('{'));
  const artifacts = messages.map((line) => JSON.parse(line)).filter((one) => one.reason === 'compiler-artifact');
  return artifacts.findLast((one) => one.target.name === 'memcache_node').filenames[0];
}

if (existsSync(join(root, 'bindings', 'node', 'Cargo.toml'))) {
  // Another process may have loaded the old file, so it is replaced and not overwritten.
  const fresh = `${builtPath}.${process.pid}`;
  copyFileSync(build(), fresh);
  if (profile === 'release') strip(fresh);
  renameSync(fresh, builtPath);
}
