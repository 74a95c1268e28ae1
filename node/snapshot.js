// Saving a cache and loading it. A thread of the addon does the work and reports here. index.d.ts
// documents the calls.
'use strict';

const { fileURLToPath } = require('node:url');
const { inspect, types } = require('node:util');
const { call, classes, toPublicError } = require('./errors.js');
const { keepAlive } = require('./keep-alive.js');
const { checkNames, checkType, typeError } = require('./options.js');

const COMMON = { threads: 'number', progress: 'function', signal: 'object' };
const SAVE_OPTIONS = { codec: 'string', rate: 'number', note: 'string', ...COMMON };
const LOAD_OPTIONS = { replace: 'boolean', ttl: 'string', strict: 'boolean', ...COMMON };

/** Checks the names and types of options. Options that are undefined count as left out. */
function checkOptions(options, known, of) {
  checkNames(options, new Set(Object.keys(known)), of);
  for (const [name, type] of Object.entries(known)) {
    if (options[name] !== undefined) checkType(name, options[name], type);
  }
  const { signal } = options;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw typeError(`signal must be an AbortSignal, got ${inspect(signal)}`);
  }
}

/** Returns the path of an argument, or undefined if it is neither a string nor a file: URL. */
function toPath(place) {
  if (typeof place === 'string') return place;
  return place?.protocol === 'file:' ? fileURLToPath(place.href) : undefined;
}

/**
 * Runs an operation of the addon. `start` starts it, given the function that receives its reports.
 * Returns a promise of its last report.
 */
function run(start, { progress, signal }) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    /** The error of `progress`. */
    let thrown;

    function tell(soFar) {
      if (thrown !== undefined) return;
      try {
        if (progress(soFar) === false) job.cancel();
      } catch (error) {
        thrown = { error };
        job.cancel();
      }
    }

    function end(report) {
      signal?.removeEventListener('abort', abort);
      release();
      const { failure } = report;
      if (thrown !== undefined) reject(thrown.error);
      else if (failure === undefined) resolve(report);
      else if (failure.code === classes.CancelledError.code && signal?.aborted) reject(signal.reason);
      else reject(toPublicError(failure, end));
    }

    const job = call(() => start((report) => (report.progress === undefined ? end(report) : tell(report.progress))));
    const abort = () => job.cancel();
    signal?.addEventListener('abort', abort);
    const release = keepAlive();
  });
}

function runSave(cache, path, options, of) {
  checkOptions(options, SAVE_OPTIONS, of);
  const { progress, signal, ...settings } = options;
  const start = (onReport) => cache.startSave({ ...settings, path, progress: progress !== undefined }, onReport);
  return run(start, options);
}

async function save(cache, place, options = {}) {
  const path = toPath(place);
  if (path === undefined) throw typeError(`path must be a string or a file: URL, got ${inspect(place)}`);
  return (await runSave(cache, path, options, 'save')).saved;
}

async function saveToBuffer(cache, options = {}) {
  return (await runSave(cache, undefined, options, 'saveToBuffer')).snapshot;
}

async function load(cache, source, options = {}) {
  checkOptions(options, LOAD_OPTIONS, 'load');
  const { progress, signal, replace = false, strict = false, ...settings } = options;
  const bytes = types.isUint8Array(source) ? Buffer.from(source.buffer, source.byteOffset, source.byteLength) : undefined;
  const path = bytes === undefined ? toPath(source) : undefined;
  if (bytes === undefined && path === undefined) {
    throw typeError(`source must be a path, a file: URL, a Buffer or another Uint8Array, got ${inspect(source)}`);
  }
  const all = { ...settings, path, replace, strict, progress: progress !== undefined };
  const { loaded } = await run((onReport) => cache.startLoad(all, bytes, onReport), options);
  return { ...loaded, savedAt: new Date(loaded.savedAt * 1000) };
}

module.exports = { load, save, saveToBuffer };
