// Each public declaration has a comment in TSDoc's form, and the comments are true: their examples
// are type-checked and run, and the errors that they name are thrown.
'use strict';

const assert = require('node:assert/strict');
const { readdirSync, readFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { describe, test } = require('node:test');
const ts = require('typescript');
const memcache = require('../index.js');
require('./support.js');

const PACKAGE = join(__dirname, '..');
const FILES = ['.', 'adapters', 'testing'].flatMap((directory) =>
  readdirSync(join(PACKAGE, directory))
    .filter((name) => /\.d\.m?ts$/.test(name))
    .map((name) => join(directory, name)),
);
const ERRORS = new Set([...Object.keys(memcache).filter((name) => name.endsWith('Error')), 'TypeError', 'RangeError']);

const { SyntaxKind } = ts;
const CALLABLE = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.MethodSignature,
  SyntaxKind.Constructor,
]);
const isPrivate = (node) => node.modifiers?.some(({ kind }) => kind === SyntaxKind.PrivateKeyword);

/** Lists the public declarations of a file. Overloads share the comment of the first one. */
function declarations(file) {
  const text = readFileSync(join(PACKAGE, file), 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found = [];
  function add(node, of) {
    const own = node.kind === SyntaxKind.Constructor ? 'constructor' : node.name?.getText(source);
    const name = of === undefined ? own : `${of.name}.${own}`;
    if (found.at(-1)?.name === name && CALLABLE.has(node.kind)) return;
    const one = { file, name, node, of: of?.name, own, ...comment(node) };
    found.push(one);
    for (const member of node.members ?? []) if (!isPrivate(member)) add(member, one);
  }
  function visit(node) {
    if (ts.isModuleDeclaration(node)) node.body.statements.forEach(visit);
    else if (ts.isVariableStatement(node)) for (const one of node.declarationList.declarations) add(one);
    else if (node.name !== undefined && !ts.isImportEqualsDeclaration(node)) add(node);
  }
  source.statements.forEach(visit);
  return found;
}

/** Parses a comment. */
function comment(node) {
  const [doc, ...more] = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  assert.equal(more.length, 0, 'one comment for a declaration');
  const tags = (doc?.tags ?? []).map((tag) => ({
    kind: tag.tagName.text,
    name: tag.name?.text,
    type: tag.typeExpression?.type?.getText(),
    text: ts.getTextOfJSDocComment(tag.comment) ?? '',
  }));
  const of = (kind) => tags.filter((tag) => tag.kind === kind);
  return {
    summary: ts.getTextOfJSDocComment(doc?.comment) ?? '',
    params: of('param'),
    returns: of('returns'),
    throws: of('throws').map(({ text, type }) => ({ text, error: type })),
    examples: of('example').map(({ text }) => /^```js\n(.*)\n```$/s.exec(text.trim())?.[1]),
  };
}

const ALL = FILES.flatMap(declarations);

test('the declarations are found', () => {
  const names = ALL.map(({ name }) => name);
  const some = ['Cache.getOrSet', 'Server.start', 'memcacheStore', 'MemcacheStore.constructor', 'setup', 'memcacheCluster'];
  for (const name of [...some, 'Cache.[Symbol.dispose]', 'ItemInfo.length', 'ProvidedContext.memcached', 'withMemcache']) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(ALL.length > 200, `${ALL.length} declarations`);
});

describe('a comment', () => {
  for (const { file, name, node, summary, params, returns, throws, examples } of ALL) {
    test(`${file}: ${name}`, () => {
      assert.notEqual(summary, '', 'it has no comment');
      const [first] = /^.*?\.(?=\s|$)/s.exec(summary) ?? assert.fail('the summary is not a sentence');
      assert.ok(first.split(/\s+/).length <= 15, `the first sentence has more than 15 words: ${first}`);
      const callable = CALLABLE.has(node.kind);
      if (callable) {
        const expected = node.parameters.map((parameter) => parameter.name.getText());
        assert.deepEqual(
          params.map((param) => param.name),
          expected,
        );
        for (const { text } of params) assert.match(text, /^- \S.*\.$/s);
        const isVoid = node.kind === SyntaxKind.Constructor || node.type.kind === SyntaxKind.VoidKeyword;
        assert.equal(returns.length, isVoid ? 0 : 1, '@returns');
      }
      for (const { text, error } of throws) {
        assert.ok(ERRORS.has(error), `@throws names no error: ${text}`);
        if (!(error in memcache)) assert.match(text, /\(`ERR_[A-Z_]+`\)/);
      }
      // The example of an interface shows its fields.
      const isField = node.kind === SyntaxKind.PropertySignature;
      assert.ok(examples.length > 0 || isField, 'it has no example');
      for (const example of examples) assert.notEqual(example, undefined, 'an example is a block of js');
    });
  }
});

test('comments end at column 100', () => {
  for (const file of FILES) {
    const lines = readFileSync(join(PACKAGE, file), 'utf8').split('\n');
    const long = lines.flatMap((line, index) =>
      /^ *\/?\*/.test(line) && line.length > 100 ? [`${file}:${index + 1}`] : [],
    );
    assert.deepEqual(long, []);
  }
});

// Examples. A line `expression; // => value` is an assertion.

const withAssertions = (code) => code.replace(/^( *)(\S.*); \/\/ => (.*)$/gm, '$1assert.deepEqual($2, $3);');

const EXAMPLES = ALL.flatMap(({ file, name, node, examples }) =>
  examples.map((example, index) => ({
    title: `${file}: ${name}${index > 0 ? ` (${index + 1})` : ''}`,
    code: withAssertions(example),
    runs: !file.startsWith('testing'),
    line: node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1,
  })),
);

/** Modules that examples use without an import, by name. */
const MODULES = {
  assert: 'node:assert/strict',
  net: 'node:net',
  tls: 'node:tls',
  express: 'express',
  session: 'express-session',
};
const NAMED = {
  'node:os': ['tmpdir'],
  'node:path': ['join'],
  'node:stream/consumers': ['text'],
  keyv: ['Keyv'],
  'cache-manager': ['createCache'],
  'memcache-rs/keyv': ['KeyvMemcache'],
  'memcache-rs/cache-manager': ['memcacheStore'],
  'memcache-rs/express-session': ['MemcacheStore'],
  'memcache-rs/prom-client': ['MemcacheRegistry'],
  'memcache-rs/undici': ['MemcacheCacheStore'],
  'prom-client': ['Registry', 'register'],
  undici: ['getGlobalDispatcher', 'interceptors', 'setGlobalDispatcher'],
  'memcache-rs': Object.keys(memcache),
};

/** Type-checks sources by name, as modules in this package. */
function check(sources) {
  const options = {
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    esModuleInterop: true,
    skipLibCheck: true,
    noEmit: true,
  };
  const files = new Map(Object.entries(sources).map(([name, text]) => [join(PACKAGE, 'test', name), text]));
  const host = {
    ...ts.createCompilerHost(options),
    getScriptFileNames: () => [...files.keys()],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => ts.ScriptSnapshot.fromString(files.get(name) ?? ts.sys.readFile(name) ?? ''),
    getCompilationSettings: () => options,
    fileExists: (name) => files.has(name) || ts.sys.fileExists(name),
    readFile: (name) => files.get(name) ?? ts.sys.readFile(name),
    readDirectory: ts.sys.readDirectory,
  };
  const service = ts.createLanguageService(host);
  const problems = [...files.keys()].flatMap((name) =>
    [...service.getSyntacticDiagnostics(name), ...service.getSemanticDiagnostics(name)].map(
      ({ messageText }) => `${name}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
    ),
  );
  return { service, problems, path: (name) => join(PACKAGE, 'test', name) };
}

/** Declares the names of examples as globals. */
const GLOBALS = `
  ${Object.entries(NAMED)
    .map(([from, names]) => `import { ${names.map((name) => `${name} as _${name}`).join(', ')} } from '${from}';`)
    .join('\n')}
  import type {} from 'memcache-rs/vitest';
  declare global {
    const cache: import('memcache-rs').Cache;
    const server: import('memcache-rs').Server;
    const cluster: import('memcache-rs').Cluster;
    ${Object.entries(MODULES)
      .map(([name, from]) => `const ${name}: typeof import('${from}');`)
      .join('\n')}
    ${Object.values(NAMED)
      .flat()
      .map((name) => `const ${name}: typeof _${name};`)
      .join('\n')}
  }`;

test('the examples have the types that they claim', () => {
  const sources = { 'globals.mts': GLOBALS };
  EXAMPLES.forEach(({ code }, index) => {
    sources[`example-${index}.mts`] = `${code}\nexport {};`;
  });
  const { problems } = check(sources);
  const named = problems.map((problem) =>
    problem.replace(/^.*example-(\d+)\.mts/, (_, index) => `${EXAMPLES[index].title} (line ${EXAMPLES[index].line})`),
  );
  assert.deepEqual(named, []);
});

describe('an example', () => {
  const AsyncFunction = (async () => {}).constructor;
  for (const { title, code } of EXAMPLES.filter(({ runs }) => runs)) {
    test(title, async (t) => {
      const names = {};
      for (const [name, from] of Object.entries(MODULES)) names[name] = require(from);
      for (const [from, list] of Object.entries(NAMED)) for (const name of list) names[name] = require(from)[name];
      names.cache = new memcache.Cache();
      t.after(() => names.cache.close());
      if (/\bserver\b/.test(code)) names.server = await memcache.Server.start({ recordCommands: true });
      if (/\bcluster\b/.test(code)) names.cluster = await memcache.Cluster.start(2);
      t.after(() => Promise.all([names.server?.close(), names.cluster?.close()]));
      names.server?.ref();
      await new AsyncFunction(...Object.keys(names), `{ ${code}\n }`)(...Object.values(names));
    });
  }
});

// Errors. Each bad argument is tried in each member that has a parameter of its name.

const GOOD = {
  prefix: 'key:',
  key: 'key',
  keys: ['key'],
  value: 'value',
  values: { key: 'value' },
  buffer: Buffer.alloc(1),
  cas: 1n,
  make: () => 'value',
  nodes: [],
  seconds: 1,
  message: 'message',
  after: 1,
  path: join(tmpdir(), 'tsdoc.mcrs'),
  source: Buffer.from('no snapshot'),
};
const BAD = [
  ['prefix', 5, 'TypeError'],
  ['prefix', '', 'InvalidKeyError'],
  ['key', '', 'InvalidKeyError'],
  ['key', 5, 'TypeError'],
  ['keys', [''], 'InvalidKeyError'],
  ['keys', [5], 'TypeError'],
  ['values', { '': '' }, 'InvalidKeyError'],
  ['values', { key: 5 }, 'TypeError'],
  ['value', 5, 'TypeError'],
  ['buffer', 5, 'TypeError'],
  ['cas', 0n, 'RangeError'],
  ['cas', 5, 'TypeError'],
  ['delta', -1, 'RangeError'],
  ['delta', '1', 'TypeError'],
  ['ttl', -1, 'InvalidTTLError'],
  ['options', { unknown: 1 }, 'TypeError'],
  ['path', 5, 'TypeError'],
  ['path', '/nowhere/file', 'FileError'],
  ['source', 5, 'TypeError'],
  ['source', '/nowhere/file', 'FileError'],
  ['source', Buffer.alloc(9), 'BadSnapshotError'],
  ['group', 'unknown', 'ConfigError'],
  ['group', 5, 'TypeError'],
  ['seconds', Number.NaN, 'ConfigError'],
  ['seconds', '1', 'TypeError'],
  ['message', '\r\n', 'ConfigError'],
  ['after', -1, 'ConfigError'],
  ['when', { unknown: 1 }, 'ConfigError'],
  ['when', { key: 5 }, 'TypeError'],
  ['kinds', 'unknown', 'ConfigError'],
  ['kinds', 5, 'TypeError'],
  ['nodes', ['no port'], 'ConfigError'],
  ['nodes', [5], 'TypeError'],
  ['timeout', -1, 'RangeError'],
  ['timeout', '1', 'TypeError'],
];

/** Uses a member of an object; resolves to the error it throws. */
async function use(object, { node, own }, replaced = {}) {
  const name = /^\[Symbol\.(\w+)\]$/.exec(own)?.[1];
  const member = name === undefined ? own : Symbol[name];
  try {
    let result = object[member];
    if (CALLABLE.has(node.kind)) {
      const names = node.parameters.map((parameter) => parameter.name.getText());
      result = object[member](...names.map((one) => (one in replaced ? replaced[one] : GOOD[one])));
    }
    if (typeof result?.[Symbol.iterator] === 'function') void [...result];
    await result;
    return undefined;
  } catch (error) {
    return error;
  }
}

const documents = (one, error) => one.throws.some((each) => each.error === error.name);

test('bad arguments throw the errors that the comments name', async (t) => {
  const server = await memcache.Server.start();
  t.after(() => server.close());
  const objects = { Cache: server.cache, Clock: server.clock, Faults: server.faults, Server: server };
  let tried = 0;
  for (const one of ALL) {
    if (!(one.of in objects) || !CALLABLE.has(one.node.kind) || one.own === 'constructor' || one.own === 'start') continue;
    const names = one.node.parameters.map((parameter) => parameter.name.getText());
    for (const [name, value, error] of BAD.filter(([name]) => names.includes(name))) {
      server.cache.set('key', '1');
      const thrown = await use(objects[one.of], one, { [name]: value });
      assert.equal(thrown?.name, error, `${one.name} with ${name}`);
      assert.ok(documents(one, thrown), `${one.name} does not name ${error}`);
      tried += 1;
    }
  }
  assert.ok(tried > 80, `${tried} calls`);
});

test('a ClosedError is named where it is thrown, and only there', async () => {
  const server = await memcache.Server.start();
  const objects = { Cache: server.cache, Clock: server.clock, Faults: server.faults, Server: server };
  await server.close();
  for (const one of ALL) {
    if (!(one.of in objects) || ['constructor', 'start'].includes(one.own)) continue;
    const thrown = await use(objects[one.of], one);
    assert.equal(thrown?.name, documents(one, { name: 'ClosedError' }) ? 'ClosedError' : undefined, one.name);
  }
});

test('an editor shows the comments', () => {
  const uses = [
    ['cache.get("key");', 'get', /^Returns the value of a key\./],
    // An overload that has no comment of its own.
    ['cache.incr("key");', 'incr', /^Adds to a count\./],
    ['new Cache();', 'Cache', /^Creates a cache, or opens the cache of a name\./],
    ['void Server.start();', 'start', /^Creates and starts a server\./],
    ['cache.info("key")?.idle;', 'idle', /^Seconds since the item was last used\./],
    ['memcacheStore({ name: "pages" });', 'memcacheStore', /^Creates a store for cache-manager/],
  ];
  const head = `
    import { Cache, Server } from 'memcache-rs';
    import { memcacheStore } from 'memcache-rs/cache-manager';
    declare const cache: Cache;
  `;
  for (const extension of ['mts', 'cts']) {
    const name = `hover.${extension}`;
    const text = head + uses.map(([line]) => line).join('\n');
    const { service, problems, path } = check({ [name]: text });
    assert.deepEqual(problems, []);
    for (const [line, word, summary] of uses) {
      const info = service.getQuickInfoAtPosition(path(name), text.indexOf(line) + line.indexOf(word));
      assert.match(ts.displayPartsToString(info.documentation), summary, `${line} in ${name}`);
      if (word !== 'idle')
        assert.ok(
          info.tags?.some((tag) => tag.name === 'example'),
          `${line} in ${name}`,
        );
    }
  }
});
