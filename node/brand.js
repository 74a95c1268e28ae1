// Classes of which a process may have several copies: a program may install the package twice, and Jest runs it anew for each
// test file.
'use strict';

/** What `instanceof` asks of a class that says nothing about it. */
const ordinary = Function.prototype[Symbol.hasInstance];

/** Makes objects of any copy of this class instances of each copy. Classes derived from it keep the rule of JavaScript. */
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
