// Runs the examples of the documents. A block of `js` is a program. If its first line is a comment
// with a file name, it is a file of a project. Then the test runner of its section runs there.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');
const { PACKAGE, jest, node, project, vitest } = require('./project.js');
require('./support.js');

/** The examples of a document: line, section, file name if there is one, and source. */
function examples(document) {
  const text = readFileSync(join(PACKAGE, document), 'utf8');
  return Array.from(text.matchAll(/^```js\n(.*?)^```$/gms), ({ index, 1: source }) => {
    const before = text.slice(0, index);
    return {
      line: before.split('\n').length + 1,
      section: before
        .match(/^#+ .*$/gm)
        .at(-1)
        .replace(/^#+ /, ''),
      file: /^\/\/ (\S+\.js)\n/.exec(source)?.[1],
      source,
    };
  });
}

const DOCUMENTS = [
  'README.md',
  '../README.md',
  '../docs/cluster.md',
  '../docs/monitoring.md',
  '../docs/namespaces.md',
  '../docs/proxy.md',
  '../docs/snapshots.md',
];

for (const document of DOCUMENTS) {
  const found = examples(document).filter(({ file }) => file === undefined);
  test(`${document} has examples`, () => assert.ok(found.length > 0));
  for (const { line, source } of found) {
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

/** The application of the examples. It keeps its sessions in memcached for half an hour. */
const app = (head, exported) => `
  ${head}
  async function ask(line) {
    const [host, port] = process.env.MEMCACHED.split(':');
    let text = '';
    for await (const chunk of connect(port, host).end(line + '\\r\\nquit\\r\\n')) text += chunk;
    return text;
  }
  const app = {
    login: (name) => ask('set session 0 1800 ' + name.length + '\\r\\n' + name),
    whoami: async () => /^VALUE.*\\r\\n(.*)\\r\\n/.exec(await ask('get session'))?.[1] ?? 'nobody',
  };
  ${exported}`;

const RUNNERS = {
  'node:test': {
    packages: [],
    files: {},
    run: (root) => node(root, ['--test', '--test-reporter=tap']),
    passed: /^# pass 3$/m,
  },
  Vitest: {
    packages: ['vitest'],
    files: { 'app.js': app("import { connect } from 'node:net';", 'export { app };') },
    run: (root) => vitest(root),
    passed: /Tests +1 passed/,
  },
  Jest: {
    packages: ['jest', 'jest-environment-node'],
    files: { 'package.json': '{}', 'app.js': app("const { connect } = require('node:net');", 'module.exports = { app };') },
    run: (root) => jest(root),
    passed: /Tests: +1 passed/,
  },
};

for (const [section, { packages, files, run, passed }] of Object.entries(RUNNERS)) {
  test(`README.md: ${section}`, async (t) => {
    const shown = examples('README.md').filter((one) => one.file !== undefined && one.section === section);
    assert.ok(shown.length > 0);
    const all = { ...files, ...Object.fromEntries(shown.map(({ file, source }) => [file, source])) };
    const { code, output } = await run(project(t, packages, all));
    assert.equal(code, 0, output);
    assert.match(output, passed);
  });
}

test('each file that README.md shows is run', () => {
  const sections = examples('README.md').flatMap(({ file, section }) => (file === undefined ? [] : [section]));
  assert.deepEqual([...new Set(sections)], Object.keys(RUNNERS));
});
