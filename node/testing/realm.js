// Loads modules of this package in another realm: a context of node:vm with its own Error and Date.
'use strict';

const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { dirname } = require('node:path');
const { compileFunction } = require('node:vm');

/**
 * Loads a module of this package and its dependencies in the realm of `context`, so that its errors
 * are errors there. Node's modules and the addon stay those of the process, so copies share caches.
 */
function loadInto(context, path, loaded = new Map()) {
  const known = loaded.get(path);
  if (known !== undefined) return known.exports;
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
