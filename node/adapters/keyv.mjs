// The same objects as through require.
import adapter from './keyv.js';

export const { KeyvMemcache } = adapter;
