/**
 * Work inside another network namespace. A socket belongs for ever to the namespace that its
 * maker was in, so it is enough to be there while it is made.
 */
import { close, openNamespace, setnsFd } from './libc.js';
/**
 * Runs `fn` with the calling thread in the network namespace of `path` (as /run/netns/x) and
 * returns to the previous one in every case. `fn` must be synchronous: sockets it makes stay in
 * that namespace, while files, other threads and promises know nothing of it.
 * Throws SystemError when the namespace cannot be entered, and what `fn` throws.
 */
export function inNetworkNamespace(path, fn) {
  // Opened before leaving: afterwards nothing but the return itself can fail.
  const home = openNamespace('/proc/thread-self/ns/net');
  try {
    const away = openNamespace(path);
    try {
      setnsFd(away, path);
    } finally {
      close(away);
    }
    try {
      return fn();
    } finally {
      setnsFd(home, 'back');
    }
  } finally {
    close(home);
  }
}
//# sourceMappingURL=namespace.js.map
