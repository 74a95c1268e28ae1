// What the documents show is run.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
require('./support.js');

const PACKAGE = join(__dirname, '..');

/** The examples of a document, each with its first line's number. */
function examples(text) {
  const blocks = text.matchAll(/^```js\n(.*?)^```$/gms);
  return Array.from(blocks, (block) => [text.slice(0, block.index).split('\n').length + 1, block[1]]);
}

for (const document of ['README.md', '../README.md']) {
  const found = examples(readFileSync(join(PACKAGE, document), 'utf8'));
  test(`${document} has examples`, () => assert.ok(found.length > 0));
  for (const [line, source] of found) {
    test(`${document}:${line}`, async () => {
      // Here the package finds itself by its name.
      const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
        cwd: PACKAGE,
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 60_000,
      });
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
      const [code] = await once(child, 'close');
      assert.equal(text, '');
      assert.equal(code, 0);
    });
  }
}
