// Loads the package that an adapter, or a test environment, is for.
'use strict';

const { sep } = require('node:path');

// Where this package is linked, as by `npm install ./node`, what the program has is not found from here, but from where it runs.
const linked = !__dirname.includes(`${sep}node_modules${sep}`);
const paths = linked ? [process.cwd(), __dirname] : [__dirname];

function peer(name) {
  return require(require.resolve(name, { paths }));
}

module.exports = { peer };
