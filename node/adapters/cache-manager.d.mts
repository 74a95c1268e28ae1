import type { Keyv } from 'keyv';
import type { StoreOptions } from './cache-manager.js';

export type { StoreOptions };

// A class with private fields has a type in each module system.
export function memcacheStore(options?: StoreOptions): Keyv;
