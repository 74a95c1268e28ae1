// Classes that a process may have several copies of. A program may install the package twice, and
// Jest loads it again for each test file.
'use strict';

/** The `instanceof` of classes without a rule of their own. */
const ordinary = Function.prototype[Symbol.hasInstance];

/**
 * Makes objects of any copy of this class instances of each copy. Derived classes keep JavaScript's
 * rule.
 */
function branded(Kind) {
  const brand = Symbol.for(`memcache-rs.${Kind.name}`);
  Object.defineProperty(Kind.prototype, brand, { value: true });
  Object.defineProperty(Kind, Symbol.hasInstance, {
    value(object) {
      if (this !== Kind) return ordinary.call(this, object);
      return typeof object === 'object' && object !== null && brand in object;
    },
  });
  return Kind;
}

module.exports = { branded };
