/**
 * A process that reads the configuration for its parent: see config-source.ts. Its one argument is
 * the ConfigRequest as JSON. The parent asks it to read the file again, or for the next part of a
 * long answer; it ends when the parent does, or by itself after the first answer if that was a
 * small one.
 */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { ConfigReader } from '../config/config-reader.ts';
import type { ConfigError } from '../config/errors.ts';
import { type SourceFile, watchSecretFiles } from '../config/secret-file.ts';
import { readConfigFileText } from '../config/yaml.ts';
import type { ServiceConfig } from '../core/config/config.ts';
import {
  type ConfigRequest,
  READER_STAYS_FROM,
  type ReaderMessage,
  type ReaderRequest,
} from './config-source.ts';

/** Each message is taken in one turn of the parent's event loop: a millisecond or two. */
const SERVICES_PER_MESSAGE = 8;
/** The same of their names, and of a file's bytes, of which many small messages take longer. */
const NAMES_PER_MESSAGE = 1_000;
const BYTES_PER_MESSAGE = 256 * 1024;

const { path, director } = JSON.parse(process.argv[2] ?? '') as ConfigRequest;
let warnings: ConfigError[] = [];
let reader = newReader();
/** What the parent has. */
let sent: readonly ServiceConfig[] | null = null;
/** Called when the parent asks for more. */
let goOn = (): void => {};

function newReader(): ConfigReader {
  return new ConfigReader({
    file: path,
    director,
    hostname: hostname(),
    onWarning: (warning) => warnings.push(warning),
  });
}

async function answer(): Promise<void> {
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
    const end = first + SERVICES_PER_MESSAGE;
    const [part, more] = [changed.slice(first, end), end < changed.length];
    process.send?.({ kind: 'services', services: part, more } satisfies ReaderMessage);
    if (more) await asked();
  }
  const names = services.map(({ name }) => name);
  // A reader that has sent nothing yet does not know what was before it, not even with no names.
  const sameNames =
    sent !== null &&
    names.length === sent.length &&
    names.every((name, index) => name === sent?.[index]?.name);
  sent = services;
  if (!sameNames) await sendNames(names);
  const short = await sendLong(sources);
  finish({ kind: 'config', rest, sameNames, warnings, sources: short });
}

async function sendNames(names: readonly string[]): Promise<void> {
  for (let first = 0; first < names.length; first += NAMES_PER_MESSAGE) {
    const part = names.slice(first, first + NAMES_PER_MESSAGE);
    process.send?.({ kind: 'names', names: part } satisfies ReaderMessage);
    await asked();
  }
}

/** Sends the contents of long files, in parts, and returns the sources without them. */
async function sendLong(sources: readonly SourceFile[]): Promise<readonly SourceFile[]> {
  const short: SourceFile[] = [];
  for (const [index, source] of sources.entries()) {
    const { content } = source;
    const isLong = content.length > BYTES_PER_MESSAGE;
    short.push(isLong ? { ...source, content: new Uint8Array(0) } : source);
    const lengthBytes = content.length;
    for (let offsetBytes = 0; isLong && offsetBytes < lengthBytes; ) {
      const bytes = content.slice(offsetBytes, offsetBytes + BYTES_PER_MESSAGE);
      const part = { kind: 'content', index, lengthBytes, offsetBytes, bytes } as const;
      process.send?.(part satisfies ReaderMessage);
      offsetBytes += bytes.length;
      await asked();
    }
  }
  return short;
}

/** Resolves when the parent asks for more. */
function asked(): Promise<void> {
  return new Promise((resolve) => {
    goOn = resolve;
  });
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
process.on('message', (request: ReaderRequest) => {
  if (request.kind === 'more') goOn();
  else void answer();
});
void answer();
