// Loads the package that an adapter or a test environment is for.
'use strict';

const { dirname, sep } = require('node:path');

// A linked package, as by `npm install ./node`, does not see the program's packages. They are
// looked up from the working directory then.
const linked = !__dirname.includes(`${sep}node_modules${sep}`);
const paths = linked ? [process.cwd(), __dirname] : [__dirname];

/** Loads the program's package `name`, or the one that its package `dependent` loads. */
function requirePeer(name, dependent) {
  const from = dependent === undefined ? paths : [dirname(require.resolve(dependent, { paths }))];
  return require(require.resolve(name, { paths: from }));
}

module.exports = { requirePeer };
