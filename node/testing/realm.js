// Modules of this package in another realm: a context of node:vm, which has an Error, a Map and a Date of its own.
'use strict';

const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname } = require('node:path');
const { compileFunction } = require('node:vm');

/**
 * Loads a module of this package, and those it needs, in the realm of `context`, so that the errors they throw are errors there.
 * Node's own modules and the addon are those of the process: copies share caches and servers.
 */
function loadInto(context, path, loaded = new Map()) {
  const there = loaded.get(path);
  if (there !== undefined) return there.exports;
  const module = { exports: {} };
  loaded.set(path, module);
  const real = createRequire(path);
  const local = (name) => (name.startsWith('.') ? loadInto(context, real.resolve(name), loaded) : real(name));
  const names = ['exports', 'require', 'module', '__filename', '__dirname'];
  const run = compileFunction(readFileSync(path, 'utf8'), names, { filename: path, parsingContext: context });
  run(module.exports, local, module, path, dirname(path));
  return module.exports;
}

module.exports = { loadInto };
