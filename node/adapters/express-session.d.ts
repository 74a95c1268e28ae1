// biome-ignore-all lint/suspicious/noExplicitAny: errors are any in express-session, too
import { type SessionData, Store } from 'express-session';
import type { Cache } from '../index.js';
import type { AdapterOptions } from './shared.js';

/**
 * Options of {@link MemcacheStore}.
 *
 * @example
 * ```js
 * new MemcacheStore({ cache, prefix: 'shop:', ttl: 3600 });
 * ```
 */
export type SessionOptions = AdapterOptions & {
  /** The prefix of the keys. The default is `sess:`. */
  prefix?: string;
  /**
   * Seconds that a session lives if its cookie has no end. The default is a day. It must be above
   * 0. Infinity, and more than 100 years, mean no expiry.
   */
  ttl?: number;
};

/**
 * A store for express-session.
 *
 * Sessions live as long as their cookies. Each method passes its result to the callback in the next
 * tick. Without a callback, it throws its error. A session that is larger than `itemSizeMax` is a
 * `ValueTooLargeError` of `set`, and is not kept.
 *
 * @example
 * ```js
 * const app = express();
 * const store = new MemcacheStore({ name: 'sessions' });
 * app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false }));
 * ```
 */
export class MemcacheStore extends Store {
  /**
   * Creates a store.
   *
   * @param options - Options of a new cache, or `cache`, with `prefix` and `ttl`.
   * @throws {ConfigError} if an option is invalid.
   * @throws {StartError} if the system refuses the memory or the thread of the cache.
   * @example
   * ```js
   * const store = new MemcacheStore({ ttl: 3600 });
   * store.cache.size; // => 0
   * ```
   */
  constructor(options?: SessionOptions);

  /**
   * The cache that keeps the sessions.
   *
   * @example
   * ```js
   * new MemcacheStore({ cache }).cache === cache; // => true
   * ```
   */
  readonly cache: Cache;

  /**
   * Reads a session.
   *
   * @param sid - The ID of the session.
   * @param callback - Called with the error, or with the session, which may be `undefined`.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.get('id', (error, session) => console.assert(error === null && session === undefined));
   * ```
   */
  get(sid: string, callback: (error: any, session?: SessionData | null) => void): void;

  /**
   * Stores a session until its cookie ends.
   *
   * @param sid - The ID of the session.
   * @param session - The session, which must be serializable as JSON.
   * @param callback - Called with the error, if there is one.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.set('id', { cookie: { originalMaxAge: null } });
   * store.cache.size; // => 1
   * ```
   */
  set(sid: string, session: SessionData, callback?: (error?: any) => void): void;

  /**
   * Extends a session to the end of its cookie, and changes nothing else.
   *
   * @param sid - The ID of the session.
   * @param session - The session, of which only the cookie is read.
   * @param callback - Called with the error, if there is one.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.touch('id', { cookie: { originalMaxAge: 60_000 } });
   * ```
   */
  touch(sid: string, session: SessionData, callback?: (error?: any) => void): void;

  /**
   * Removes a session.
   *
   * @param sid - The ID of the session.
   * @param callback - Called with the error, if there is one.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.destroy('id');
   * ```
   */
  destroy(sid: string, callback?: (error?: any) => void): void;

  /**
   * Reads all sessions.
   *
   * @param callback - Called with the error, or with the sessions by ID.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.all((error, sessions) => console.assert(Object.keys(sessions).length === 0));
   * ```
   */
  all(callback: (error: any, sessions?: { [sid: string]: SessionData } | null) => void): void;

  /**
   * Counts the sessions.
   *
   * @param callback - Called with the error, or with the number of sessions.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.length((error, length) => console.assert(length === 0));
   * ```
   */
  length(callback: (error: any, length?: number) => void): void;

  /**
   * Removes all sessions.
   *
   * @param callback - Called with the error, if there is one.
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.clear();
   * ```
   */
  clear(callback?: (error?: any) => void): void;

  /**
   * Closes the cache, unless it was passed as `cache`.
   *
   * @example
   * ```js
   * const store = new MemcacheStore();
   * store.close();
   * store.cache.closed; // => true
   * ```
   */
  close(): void;
}
