/**
 * A process that reads the configuration for its parent: see config-source.ts. Its one argument is
 * the ConfigRequest as JSON. Every message of the parent asks it to read the file again; it ends
 * when the parent does, or by itself after the first answer if that was a small one.
 */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { ConfigReader } from '../config/config-reader.ts';
import type { ConfigError } from '../config/errors.ts';
import { type SourceFile, watchSecretFiles } from '../config/secret-file.ts';
import { readConfigFileText } from '../config/yaml.ts';
import type { ServiceConfig } from '../core/config/config.ts';
import { type ConfigRequest, READER_STAYS_FROM, type ReaderMessage } from './config-source.ts';

/** Each message is taken in one turn of the parent's event loop. */
const SERVICES_PER_MESSAGE = 100;

const { path, director } = JSON.parse(process.argv[2] ?? '') as ConfigRequest;
let warnings: ConfigError[] = [];
let reader = newReader();
/** What the parent has. */
let sent: readonly ServiceConfig[] | null = null;

function newReader(): ConfigReader {
  return new ConfigReader({
    file: path,
    director,
    hostname: hostname(),
    onWarning: (warning) => warnings.push(warning),
  });
}

function answer(): void {
  warnings = [];
  const sources: SourceFile[] = [];
  const note = (source: SourceFile): void => void sources.push(source);
  const text = readConfigFileText(path, note);
  const result = text.ok ? watchSecretFiles(note, () => reader.read(text.value)) : text;
  // A reader that remembers would not look into key files again, whose content may change.
  if (sources.some((source) => source.path !== resolve(path))) reader = newReader();
  if (!result.ok) return finish({ kind: 'errors', errors: result.error });
  const { services, ...rest } = result.value;
  const known = new Set(sent ?? []);
  const changed = services.filter((service) => !known.has(service));
  for (let first = 0; first < changed.length; first += SERVICES_PER_MESSAGE) {
    const part = changed.slice(first, first + SERVICES_PER_MESSAGE);
    process.send?.({ kind: 'services', services: part } satisfies ReaderMessage);
  }
  const names = services.map(({ name }) => name);
  // A reader that has sent nothing yet does not know what was before it, not even with no names.
  const sameNames =
    sent !== null &&
    names.length === sent.length &&
    names.every((name, index) => name === sent?.[index]?.name);
  sent = services;
  finish({ kind: 'config', rest, names: sameNames ? null : names, warnings, sources });
}

function finish(message: ReaderMessage): void {
  process.send?.(message, () => {
    if ((sent?.length ?? 0) < READER_STAYS_FROM) process.disconnect();
    // Reading leaves far more behind than is kept.
    else globalThis.gc?.();
  });
}

// Whoever asked has ended, and nobody wants the rest of the answer.
process.on('error', () => process.exit(0));
process.on('message', answer);
answer();
