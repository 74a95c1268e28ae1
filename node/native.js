// Loads the addon: the one that was built in a checkout, or the one in the package of the platform,
// which npm installs as an optional dependency. If neither can be loaded, the error names the fix.
'use strict';

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const platform = `${process.platform}-${process.arch}`;
/** Where install.js puts the addon. */
const builtPath = join(__dirname, `memcache-rs.${platform}.node`);

/** The platforms with a package each. */
const PLATFORMS = ['linux-arm64-gnu', 'linux-arm64-musl', 'linux-x64-gnu', 'linux-x64-musl'];
const packageOf = (name) => `@memcache-rs/${name}`;

function load() {
  const ours = PLATFORMS.filter((name) => name.startsWith(`${platform}-`)).map(packageOf);
  const errors = [];
  for (const name of existsSync(builtPath) ? [builtPath, ...ours] : ours) {
    try {
      return require(name);
    } catch (error) {
      errors.push(error);
    }
  }
  // A binary that cannot be loaded says more than a missing one.
  const cause = errors.find(({ code }) => code !== 'MODULE_NOT_FOUND') ?? errors[0];
  const message = explain(cause, describeHost());
  throw Object.assign(new Error(message, { cause }), { code: 'ERR_MEMCACHE_NO_BINARY' });
}

/** Describes this machine and this installation, as far as `explain` needs it. */
function describeHost() {
  return {
    platform,
    glibc: glibcVersion(),
    node: process.versions.node,
    isCheckout: existsSync(join(__dirname, '..', 'bindings', 'node', 'Cargo.toml')),
    installed: PLATFORMS.filter(isInstalled),
  };
}

/** Returns the version of glibc, or undefined with musl. */
function glibcVersion() {
  const { report } = process;
  const { excludeNetwork } = report;
  // Otherwise the report looks up the names of network peers.
  report.excludeNetwork = true;
  const { glibcVersionRuntime } = report.getReport().header;
  report.excludeNetwork = excludeNetwork;
  return glibcVersionRuntime;
}

function isInstalled(name) {
  try {
    require.resolve(packageOf(name));
    return true;
  } catch {
    return false;
  }
}

/** Explains why the addon cannot be loaded, and how to fix it. */
function explain(error, host) {
  const [os, cpu] = host.platform.split('-');
  const libc = host.glibc === undefined ? 'musl' : 'glibc';
  const here = os === 'linux' ? `${host.platform} with ${libc} ${host.glibc ?? ''}`.trimEnd() : host.platform;
  const reinstall = `run "npm install --os=${os} --cpu=${cpu} --libc=${libc} memcache-rs"`;
  const build = 'build it with Rust by "npm install --install-links CHECKOUT/node"';
  const text = error?.code === 'MODULE_NOT_FOUND' ? '' : String(error?.message);
  const cannot = (why, fix) => `memcache-rs cannot load its addon for ${here}: ${why}. To fix it, ${fix}.`;

  if (error?.code === 'ERR_DLOPEN_DISABLED') {
    const fix = 'run Node without --no-addons, and with --allow-addons under its permission model';
    return cannot('this process may not load addons', fix);
  }
  if (Number.parseInt(host.node, 10) < 20) {
    return cannot(`it needs Node 20 or later, got ${host.node}`, 'update Node');
  }
  if (error === undefined) {
    const fix = os === 'linux' ? build : 'run the program on Linux, for example in a container';
    return cannot('binaries exist for Linux on x64 and arm64 only', fix);
  }
  if (text === '') {
    if (host.isCheckout) return cannot('it is not built yet', `run "node ${join(__dirname, 'install.js')}" (needs Rust)`);
    if (host.installed.length > 0) {
      return cannot(`node_modules has the addon for ${host.installed.join(', ')}`, `${reinstall} on this machine`);
    }
    const fix = `run "npm install --include=optional memcache-rs", or ${build}`;
    return cannot('its package is not installed, because optional dependencies were omitted', fix);
  }
  if (/version `?GLIBC/.test(text)) {
    return cannot(`it needs a newer glibc (${text})`, `use a newer Linux distribution, or ${build}`);
  }
  if (/(ld-linux|ld-musl|libc\.musl|libc\.so\.6|libgcc_s)|symbol not found/.test(text)) {
    return cannot(`it is for another C library (${text})`, reinstall);
  }
  if (/ELF|exec format|\.node: cannot open shared object file/i.test(text)) {
    return cannot(`it is for another CPU or operating system (${text})`, `${reinstall}, and do not copy node_modules`);
  }
  return cannot(text, `install memcache-rs again, or ${build}`);
}

module.exports = { builtPath, explain, load };
