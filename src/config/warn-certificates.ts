/**
 * Warnings of what is in the certificate files of checks that speak TLS: none in it, expired, a key
 * that is not the certificate's. No errors, as of files that are missing (warn-files.ts), which
 * are passed over here.
 */
import { readFileSync, statSync } from 'node:fs';
import type { CertificateFiles, Report } from './report.ts';

/** As in a check (probes/trust-store.ts), which refuses a larger one. */
const FILE_LENGTH_BYTES_MAX = 4 * 1024 * 1024;
const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;
const FAILS = 'the check fails until then';

type Crypto = typeof import('node:crypto');
type Certificate = InstanceType<Crypto['X509Certificate']>;

/** Each of the files once, at the first place that names it; `nowMs` of the wall clock. */
export function warnOfCertificates(report: Report, nowMs: number): void {
  if (report.certificates.length === 0) return;
  // Only these configurations wait until it is loaded.
  const crypto = process.getBuiltinModule('node:crypto');
  const seen = new Set<string>();
  const once = (key: string, file: string | null, warnings: (file: string) => Warning | null) => {
    if (file === null || seen.has(`${key} ${file}`)) return;
    seen.add(`${key} ${file}`);
    const warning = warnings(file);
    if (warning !== null) report.warning(warning.path, warning.message);
  };
  for (const { path, caFile, certificateFile, keyFile } of report.certificates) {
    once('ca', caFile, (file) => {
      const message = authoritiesProblem(file, crypto, nowMs);
      return message === null ? null : { path: [...path, 'ca_file'], message };
    });
    once(`own ${keyFile}`, certificateFile, (file) => {
      const found = ownProblem(file, keyFile, crypto, nowMs);
      return found === null ? null : { path: [...path, found.key], message: found.message };
    });
  }
}

interface Warning {
  readonly path: CertificateFiles['path'];
  readonly message: string;
}

/** Of the certificates that are trusted one must hold; bundles have some that do not. */
function authoritiesProblem(file: string, crypto: Crypto, nowMs: number): string | null {
  const certificates = certificatesOf(file, crypto);
  if (typeof certificates === 'string' || certificates === null) return certificates;
  const problems = certificates.map((one) => timeProblem(one, nowMs));
  if (problems.some((problem) => problem === null)) return null;
  const which = problems.length === 1 ? 'its certificate' : 'none of its certificates holds,';
  const said = problems.length === 1 ? problems[0] : `the first ${problems[0]}`;
  return `${file}: ${which} ${said}: no server passes its check until then`;
}

function ownProblem(
  file: string,
  keyFile: string | null,
  crypto: Crypto,
  nowMs: number,
): { readonly key: 'certificate_file' | 'key_file'; readonly message: string } | null {
  const certificates = certificatesOf(file, crypto);
  if (typeof certificates === 'string') return { key: 'certificate_file', message: certificates };
  if (certificates === null) return null;
  const key = keyFile === null ? 'certificate_file' : 'key_file';
  const message = keyProblem(keyFile ?? file, keyFile === null, certificates, crypto);
  if (message !== null) return { key, message };
  for (const one of certificates) {
    const problem = timeProblem(one, nowMs);
    if (problem === null) continue;
    const name = one.subject.replaceAll('\n', ', ');
    const told = `${file}: the certificate of ${name} ${problem}: servers may refuse it until then`;
    return { key: 'certificate_file', message: told };
  }
  return null;
}

function keyProblem(
  file: string,
  isCertificateFile: boolean,
  [certificate]: readonly Certificate[],
  crypto: Crypto,
): string | null {
  const text = textOf(file);
  if (text === null) return null;
  if (!KEY.test(text)) {
    return isCertificateFile
      ? `${file} must hold the key too, or key_file name it: ${FAILS}`
      : `${file} must hold a key in PEM, there is none: ${FAILS}`;
  }
  try {
    if (certificate?.checkPrivateKey(crypto.createPrivateKey(text)) !== false) return null;
    return `${file} must hold the key of the certificate, it is another one's: ${FAILS}`;
  } catch (error) {
    return `${file} must hold a key that can be used: ${(error as Error).message}: ${FAILS}`;
  }
}

/** What is wrong with the file as text; null when it cannot be read, which is told elsewhere. */
function certificatesOf(file: string, crypto: Crypto): readonly Certificate[] | string | null {
  const text = textOf(file);
  if (text === null) return null;
  const found = text.match(CERTIFICATES);
  if (found === null) return `${file} must hold certificates in PEM, there is none: ${FAILS}`;
  try {
    return found.map((one) => new crypto.X509Certificate(one));
  } catch (error) {
    return `${file} must hold certificates that can be read: ${(error as Error).message}: ${FAILS}`;
  }
}

function textOf(file: string): string | null {
  try {
    const { size } = statSync(file);
    return size > FILE_LENGTH_BYTES_MAX ? null : readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** 'must be renewed, it expired on 2026-01-02'; null while it holds. */
function timeProblem({ validFrom, validTo }: Certificate, nowMs: number): string | null {
  const day = (text: string) => new Date(text).toISOString().slice(0, 10);
  if (Date.parse(validTo) < nowMs) return `must be renewed, it expired on ${day(validTo)}`;
  return Date.parse(validFrom) > nowMs ? `holds from ${day(validFrom)} on only` : null;
}
