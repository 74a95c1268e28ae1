// The same objects as through require.
export { default } from './global-teardown.js';
