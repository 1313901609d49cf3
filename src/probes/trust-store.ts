/**
 * Certificate authorities for HTTPS checks, read from files and shared by all checks that name
 * the same file. A file is read anew when a check is made after the file has changed. What cannot
 * be read or holds no certificate is an error: a check trusts neither less nor more than it was
 * told.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { SecureContext } from 'node:tls';
import { createSecureContext } from 'node:tls';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';

/** Where distributions keep the system's authorities; the first that exists is used. */
const SYSTEM_CA_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Bundles of all public authorities have about 250 KB; a larger file is a mistake. */
const CA_FILE_LENGTH_MAX_BYTES = 4 * 1024 * 1024;

/** Contexts kept for sharing; above that, the oldest is forgotten (its checks keep it). */
const CONTEXTS_MAX = 64;

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

interface Entry {
  readonly version: string;
  readonly context: SecureContext;
}

export class TrustStore {
  readonly #entries = new Map<string, Entry>();

  /**
   * The context for a file of certificates in PEM, or for the system's authorities (null; those
   * that Node.js brings along where the system has none). The error says what is wrong.
   */
  secureContext(caFile: string | null): Result<SecureContext, string> {
    const path = caFile ?? systemCaFile();
    if (path === null) return ok(createSecureContext());
    try {
      const stat = statSync(path);
      if (!stat.isFile()) return err(`The CA file ${path} is not a regular file`);
      if (stat.size > CA_FILE_LENGTH_MAX_BYTES) return err(`The CA file ${path} is too large`);
      const version = `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      const known = this.#entries.get(path);
      if (known?.version === version) return ok(known.context);
      const certificates = readFileSync(path, 'utf8').match(CERTIFICATES);
      if (certificates === null) return err(`The CA file ${path} holds no certificate in PEM`);
      // A context passes over what it cannot parse, and would then trust less than it was told.
      for (const certificate of certificates) new X509Certificate(certificate);
      const context = createSecureContext({ ca: certificates });
      this.#remember(path, { version, context });
      return ok(context);
    } catch (error) {
      return err(`The CA file ${path} cannot be used: ${(error as Error).message}`);
    }
  }

  #remember(path: string, entry: Entry): void {
    this.#entries.delete(path);
    this.#entries.set(path, entry);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > CONTEXTS_MAX && !oldest.done) this.#entries.delete(oldest.value);
  }
}

function systemCaFile(): string | null {
  return SYSTEM_CA_FILES.find((path) => statSync(path, { throwIfNoEntry: false })) ?? null;
}
