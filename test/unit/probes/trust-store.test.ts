import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestCertificate } from './servers.ts';
import { makeCertificate } from './servers.ts';

let certificate: TestCertificate;
beforeAll(() => {
  certificate = makeCertificate('DNS:www.example.org');
});
afterAll(() => certificate.remove());

test('TrustStore: an unchanged file is read once, a changed one anew', () => {
  const store = new TrustStore();
  const caFile = join(certificate.directory, 'ca.pem');
  writeFileSync(caFile, certificate.certificate);
  const first = store.secureContext(caFile);
  const again = store.secureContext(caFile);
  writeFileSync(caFile, `# twice\n${certificate.certificate}${certificate.certificate}`);
  const changed = store.secureContext(caFile);
  if (!first.ok || !again.ok || !changed.ok) throw new Error('A context was refused');
  expect(again.value).toBe(first.value);
  expect(changed.value).not.toBe(first.value);
});

test('TrustStore: the authorities of the system are shared', () => {
  const store = new TrustStore();
  const system = store.secureContext(null);
  expect(system.ok).toBe(true);
  expect(store.secureContext(null)).toEqual(system);
});

test('TrustStore: a file that is too large is refused without being read', () => {
  const caFile = join(certificate.directory, 'large.pem');
  writeFileSync(caFile, Buffer.alloc(5 * 1024 * 1024));
  expect(new TrustStore().secureContext(caFile)).toEqual({
    ok: false,
    error: `The CA file ${caFile} is too large`,
  });
});
