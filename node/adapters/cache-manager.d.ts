import type { Keyv } from 'keyv';
import type { AdapterOptions } from './shared.js';

export type StoreOptions = AdapterOptions & {
  /** What the store's keys begin with, and what alone `clear` removes: keyv. */
  namespace?: string;
  /** Milliseconds that a value lives if nothing else is said. */
  ttl?: number;
};

/** A store for cache-manager, 6 or later: `createCache({ stores: [memcacheStore()] })`. */
export function memcacheStore(options?: StoreOptions): Keyv;
