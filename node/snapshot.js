// Saving a cache and loading it. A thread of the addon does the work and reports here. For a stream
// it reports each piece, and waits for a reply. index.d.ts documents the calls.
'use strict';

const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
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

/** Returns whether a value is a Writable of Node, or a WritableStream of the web. */
function isWritable(value) {
  const isOfNode = typeof value?.write === 'function' && typeof value.on === 'function';
  return isOfNode || typeof value?.getWriter === 'function';
}

/**
 * Runs an operation of the addon. `start` starts it, given the function that receives its reports.
 * `ask` answers those for a stream. Returns a promise of the last report.
 */
function run(start, { progress, signal }, ask) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    /** The error of `progress` or of the stream. */
    let thrown;

    function fail(error) {
      thrown ??= { error };
      job.cancel();
    }

    function tell(soFar) {
      if (thrown !== undefined) return;
      try {
        if (progress(soFar) === false) job.cancel();
      } catch (error) {
        fail(error);
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

    function receive(report) {
      if (report.progress !== undefined) tell(report.progress);
      else if (report.piece !== undefined || report.wants) ask(report, job, fail);
      else end(report);
    }

    const job = call(() => start(receive));
    const abort = () => job.cancel();
    signal?.addEventListener('abort', abort);
    const release = keepAlive();
  });
}

async function runSave(cache, place, options, of, ask) {
  checkOptions(options, SAVE_OPTIONS, of);
  const { progress, signal, ...settings } = options;
  const all = { ...settings, ...place, progress: progress !== undefined };
  return run((onReport) => cache.startSave(all, onReport), options, ask);
}

async function save(cache, place, options = {}) {
  const path = toPath(place);
  if (path !== undefined) return (await runSave(cache, { path, stream: false }, options, 'save')).saved;
  if (isWritable(place)) return saveToStream(cache, place, options);
  throw typeError(`path must be a string, a file: URL or a writable stream, got ${inspect(place)}`);
}

/** Saves to a stream and ends it. */
async function saveToStream(cache, stream, options) {
  /** Lets the thread save the next piece. */
  let proceed = () => {};
  /** Ends the save, with the error of the stream. */
  let fail = () => {};
  const pieces = new Readable({
    read: () => proceed(),
    destroy(error, callback) {
      fail(error);
      callback(error);
    },
  });
  const piped = pipeline(pieces, stream);
  const saving = runSave(cache, { stream: true }, options, 'save', ({ piece }, job, failed) => {
    proceed = () => job.reply();
    fail = failed;
    if (pieces.destroyed) fail(pieces.errored);
    else pieces.push(piece);
  });
  const ended = saving.then(
    () => pieces.push(null),
    (error) => pieces.destroy(error),
  );
  await Promise.all([piped, ended]);
  return (await saving).saved;
}

async function saveToBuffer(cache, options = {}) {
  return (await runSave(cache, { stream: false }, options, 'saveToBuffer')).snapshot;
}

async function load(cache, source, options = {}) {
  checkOptions(options, LOAD_OPTIONS, 'load');
  const { progress, signal, replace = false, strict = false, ...settings } = options;
  const bytes = types.isUint8Array(source) ? toBuffer(source) : undefined;
  const path = bytes === undefined ? toPath(source) : undefined;
  const stream = bytes === undefined && path === undefined;
  if (stream && typeof source?.[Symbol.asyncIterator] !== 'function') {
    throw typeError(
      `source must be a path, a file: URL, a Buffer, another Uint8Array or a readable stream, got ${inspect(source)}`,
    );
  }
  const all = { ...settings, path, stream, replace, strict, progress: progress !== undefined };
  const iterator = stream ? source[Symbol.asyncIterator]() : undefined;
  const ask = (_, job, fail) => nextPiece(iterator).then((piece) => job.reply(piece), fail);
  try {
    const { loaded } = await run((onReport) => cache.startLoad(all, bytes, onReport), options, ask);
    return { ...loaded, savedAt: new Date(loaded.savedAt * 1000) };
  } finally {
    if (stream) close(source, iterator);
  }
}

/** Closes a stream of which something may be left. Does not wait for a read that is under way. */
function close(source, iterator) {
  source.destroy?.();
  Promise.resolve(iterator.return?.()).catch(() => {});
}

/** Returns the next bytes of a stream, or undefined at its end. */
async function nextPiece(iterator) {
  for (;;) {
    const { done, value } = await iterator.next();
    if (done) return undefined;
    if (!types.isUint8Array(value)) {
      throw typeError(`source must be a stream of Buffers or other Uint8Arrays, got a piece ${inspect(value)}`);
    }
    if (value.length > 0) return toBuffer(value);
  }
}

const toBuffer = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

module.exports = { load, save, saveToBuffer };
