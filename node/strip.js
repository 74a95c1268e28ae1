// Removes debug information from a binary, which is most of its size.
'use strict';

const { execFileSync } = require('node:child_process');

/** Strips a file in place. STRIP names the program, for a binary of another platform. */
function strip(file) {
  execFileSync(process.env.STRIP ?? 'strip', ['--strip-unneeded', file], { stdio: ['ignore', 'ignore', 'inherit'] });
}

module.exports = { strip };
