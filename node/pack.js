// Packs the two packages that are published: this one, and the one with a platform's binary.
// usage: node pack.js BINARY PLATFORM OUT; see PLATFORMS
'use strict';

const { execFileSync } = require('node:child_process');
const { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join, resolve } = require('node:path');
const { strip } = require('./strip.js');

/** The platforms with binaries, as npm describes them. */
const PLATFORMS = {
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
};

const root = join(__dirname, '..');
const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT'];

function pack(directory, out) {
  const told = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [{ filename }] = Object.values(JSON.parse(told));
  return join(out, filename);
}

function write(directory, { files, ...description }) {
  for (const name of LICENCES) copyFileSync(join(root, name), join(directory, name));
  const all = { ...description, files: [...files, ...LICENCES] };
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(all, null, 2)}\n`);
}

/** Packs this package without its scripts. The binaries are optional dependencies. */
function main(work, out) {
  const archive = pack(__dirname, work);
  execFileSync('tar', ['-xzf', archive, '-C', work]);
  const directory = join(work, 'package');
  const { scripts, devDependencies, tsd, ...description } = JSON.parse(
    readFileSync(join(directory, 'package.json'), 'utf8'),
  );
  const names = Object.keys(PLATFORMS).map((name) => [`@memcache-rs/${name}`, description.version]);
  // The binary that was built here is for one platform only.
  const files = description.files.filter((name) => !name.endsWith('.node'));
  write(directory, { ...description, files, optionalDependencies: Object.fromEntries(names) });
  return pack(directory, out);
}

/** Packs the binary of a platform. */
function platform(name, binary, work, out) {
  const { version, license, repository, engines } = require('./package.json');
  const file = 'memcache-rs.node';
  const directory = join(work, name);
  mkdirSync(directory);
  copyFileSync(binary, join(directory, file));
  strip(join(directory, file));
  write(directory, {
    name: `@memcache-rs/${name}`,
    version,
    description: `The binary of memcache-rs for ${name}`,
    license,
    repository,
    main: file,
    files: [file],
    engines,
    ...PLATFORMS[name],
  });
  return pack(directory, out);
}

const [binary, name, to] = process.argv.slice(2);
if (to === undefined || !(name in PLATFORMS)) {
  console.error(`usage: node pack.js BINARY PLATFORM OUT\nplatforms: ${Object.keys(PLATFORMS).join(', ')}`);
  process.exit(2);
}
const out = resolve(to);
mkdirSync(out, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'pack-'));
try {
  console.log(main(work, out));
  console.log(platform(name, binary, work, out));
} finally {
  rmSync(work, { recursive: true });
}
