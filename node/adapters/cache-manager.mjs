// The same as by require.
import adapter from './cache-manager.js';

export const { memcacheStore } = adapter;
