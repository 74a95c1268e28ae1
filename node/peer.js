// Loads the package that an adapter, or a test environment, is for.
'use strict';

const { dirname, sep } = require('node:path');

// Where this package is linked, as by `npm install ./node`, what the program has is not found from here, but from where it runs.
const linked = !__dirname.includes(`${sep}node_modules${sep}`);
const paths = linked ? [process.cwd(), __dirname] : [__dirname];

/** The program's package of this name, or the one that `of`, another package of the program, has. */
function peer(name, of) {
  const from = of === undefined ? paths : [dirname(require.resolve(of, { paths }))];
  return require(require.resolve(name, { paths: from }));
}

module.exports = { peer };
