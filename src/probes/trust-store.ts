/**
 * Certificate authorities, and our own certificates, for checks that speak TLS: read from files and
 * shared by all checks that name the same ones. Files are read anew at the first run after they
 * have changed. What cannot be read or holds no certificate is an error: a check trusts neither
 * less nor more than it was told.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { SecureContext } from 'node:tls';
import { createSecureContext } from 'node:tls';
import type { TlsConfig } from '../core/config/check.ts';
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
const FILE_LENGTH_MAX_BYTES = 4 * 1024 * 1024;

/** Contexts kept for sharing; above that, the oldest is forgotten (its checks keep it). */
const CONTEXTS_MAX = 64;

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

interface Entry {
  readonly version: string;
  readonly context: SecureContext;
}

/** What a context holds besides the authorities. */
export type OwnSide = Pick<TlsConfig, 'certificateFile' | 'keyFile' | 'tlsMin'>;

const NO_OWN_SIDE: OwnSide = { certificateFile: null, keyFile: null, tlsMin: '1.2' };

export class TrustStore {
  readonly #entries = new Map<string, Entry>();

  /**
   * The context for a file of certificates in PEM, or for the system's authorities (null; those
   * that Node.js brings along where the system has none), with our own certificate if there is
   * one. The error says what is wrong with which file.
   */
  secureContext(
    caFile: string | null,
    { certificateFile, keyFile, tlsMin }: OwnSide = NO_OWN_SIDE,
  ): Result<SecureContext, string> {
    const ca = fileState('CA file', caFile ?? systemCaFile());
    if (!ca.ok) return ca;
    const certificate = fileState('certificate file', certificateFile);
    if (!certificate.ok) return certificate;
    const key = fileState('key file', keyFile);
    if (!key.ok) return key;
    const name = JSON.stringify([caFile, certificateFile, keyFile, tlsMin]);
    const version = [ca, certificate, key].map(({ value }) => value?.version ?? '').join(' ');
    const known = this.#entries.get(name);
    if (known?.version === version) return ok(known.context);
    const authorities = readCertificates(ca.value);
    if (!authorities.ok) return authorities;
    const own = readCertificates(certificate.value);
    if (!own.ok) return own;
    const secret = readFile(key.value);
    if (!secret.ok) return secret;
    try {
      const context = createSecureContext({
        minVersion: `TLSv${tlsMin}`,
        ...(authorities.value === null ? {} : { ca: authorities.value }),
        ...(own.value === null ? {} : { cert: own.value.join('\n') }),
        ...(secret.value === null ? {} : { key: secret.value }),
      });
      this.#remember(name, { version, context });
      return ok(context);
    } catch (error) {
      // Of the certificates each was parsed already: it is the key, or the key is not theirs.
      return err(`The key file ${keyFile} cannot be used: ${(error as Error).message}`);
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

interface FileState {
  readonly what: string;
  readonly path: string;
  /** Changes with the file. */
  readonly version: string;
}

function fileState(what: string, path: string | null): Result<FileState | null, string> {
  if (path === null) return ok(null);
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return err(`The ${what} ${path} is not a regular file`);
    if (stat.size > FILE_LENGTH_MAX_BYTES) return err(`The ${what} ${path} is too large`);
    return ok({ what, path, version: `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeMs}` });
  } catch (error) {
    return err(`The ${what} ${path} cannot be used: ${(error as Error).message}`);
  }
}

function readFile(file: FileState | null): Result<string | null, string> {
  if (file === null) return ok(null);
  try {
    return ok(readFileSync(file.path, 'utf8'));
  } catch (error) {
    return err(`The ${file.what} ${file.path} cannot be used: ${(error as Error).message}`);
  }
}

/** All certificates of a file, each of which can be parsed; null for no file. */
function readCertificates(file: FileState | null): Result<string[] | null, string> {
  const text = readFile(file);
  if (!text.ok) return text;
  if (file === null || text.value === null) return ok(null);
  const certificates = text.value.match(CERTIFICATES);
  if (certificates === null)
    return err(`The ${file.what} ${file.path} holds no certificate in PEM`);
  try {
    // A context passes over what it cannot parse, and would then trust less than it was told.
    for (const certificate of certificates) new X509Certificate(certificate);
    return ok([...certificates]);
  } catch (error) {
    return err(`The ${file.what} ${file.path} cannot be used: ${(error as Error).message}`);
  }
}
