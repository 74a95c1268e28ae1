module.exports = {
  cacheHandler: require.resolve('./cache-handler.js'),
  // Next.js then keeps no second copy of each page.
  cacheMaxMemorySize: 0,
};
