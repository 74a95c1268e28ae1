export * from './keyv.js';
