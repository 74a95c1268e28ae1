// Loads the addon: the one built here, or that of the platform's package, which npm installs as an optional dependency.
'use strict';

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const place = `${process.platform}-${process.arch}`;
/** Where install.js puts what it builds. */
const built = join(__dirname, `memcache-rs.${place}.node`);
// npm installs the one that fits the machine's C library.
const packages = process.platform === 'linux' ? [`${place}-gnu`, `${place}-musl`] : [place];

function load() {
  let cause;
  const names = packages.map((name) => `@memcache-rs/${name}`);
  for (const name of existsSync(built) ? [built, ...names] : names) {
    try {
      return require(name);
    } catch (error) {
      // A binary that cannot be loaded tells more than one that is not there.
      if (cause === undefined || error.code !== 'MODULE_NOT_FOUND') cause ??= error;
    }
  }
  const why = cause.code === 'MODULE_NOT_FOUND' ? '' : ` that can be loaded (${cause.message})`;
  throw Object.assign(
    new Error(
      `memcache-rs has no binary for ${place}${why}: install it without --omit=optional, which brings ` +
        `${names.join(' or ')}, or build it from a checkout with Rust by "npm install --install-links CHECKOUT/node".`,
      { cause },
    ),
    { code: 'ERR_MEMCACHE_NO_BINARY' },
  );
}

module.exports = { built, load, place };
