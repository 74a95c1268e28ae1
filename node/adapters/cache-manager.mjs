// The same objects as through require.
import adapter from './cache-manager.js';

export const { memcacheStore } = adapter;
