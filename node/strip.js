// Takes debug information out of a binary, which is most of it.
'use strict';

const { execFileSync } = require('node:child_process');

/** Strips the file where it lies, by the program that STRIP names: that of another platform, where the binary is of one. */
function strip(file) {
  execFileSync(process.env.STRIP ?? 'strip', ['--strip-unneeded', file], { stdio: ['ignore', 'ignore', 'inherit'] });
}

module.exports = { strip };
