// The same objects as through require.
import adapter from './undici.js';

export const { MemcacheCacheStore } = adapter;
