/**
 * kept: a value that is made once for an object and stays with it as long as it lives. A WeakMap does
 * the same, but one of tens of thousands of objects is copied as a whole whenever it grows, and
 * lengthens the pause of every collection: the event loop would stand still for 15 ms.
 */

/**
 * `make`, which depends on nothing but its argument, called once for each object. What it made is a
 * property that spreading, comparing, cloning and JSON do not see. Objects that cannot be extended
 * have it made each time.
 */
export function kept<K extends object, V>(make: (of: K) => V): (of: K) => V {
  const at = Symbol(make.name);
  return (of) => {
    const holder = of as { readonly [at]?: V };
    const known = holder[at];
    if (known !== undefined) return known;
    const value = make(of);
    Reflect.defineProperty(of, at, { value });
    return value;
  };
}
