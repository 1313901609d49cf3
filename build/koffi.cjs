/**
 * koffi as the bundles take it: the addon itself. koffi's own loader finds out for which of some
 * twenty platforms and C libraries it is, which takes six times as long as loading the addon; here
 * the usual ones are tried first, and whatever is not as expected is left to it.
 */
'use strict';
const { existsSync } = require('node:fs');

/** musl's dynamic loader by architecture: where it is, the C library may be another than glibc. */
const MUSL_LOADERS = {
  x64: '/lib/ld-musl-x86_64.so.1',
  arm64: '/lib/ld-musl-aarch64.so.1',
};

function addon() {
  const { arch } = process;
  const musl = MUSL_LOADERS[arch];
  if (musl === undefined || existsSync(musl)) return null;
  try {
    const native = require(`@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`);
    return native.version === KOFFI_VERSION ? native : null;
  } catch {
    return null;
  }
}

module.exports = addon() ?? require('koffi');
