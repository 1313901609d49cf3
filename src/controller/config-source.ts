/**
 * Reads the configuration in a process of its own (see config-worker.ts): the parsers and the
 * schema are needed for a moment, and would double the controller's memory for years. A thread
 * would not do: its allocator's and V8's pages stay with the process.
 *
 * The process ends when it has answered. Where there are very many services it stays, because
 * starting Node and reading all of them takes seconds; it then answers with what has changed.
 * Services that did not change are the same objects as before, so that what follows from a
 * reload is the work of its changes.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ConfigError } from '../config/errors.ts';
import type { SourceFile } from '../config/secret-file.ts';
import type { Config, ServiceConfig } from '../core/config/config.ts';
import { inTurns } from '../core/in-turns.ts';
import { LargeMap } from '../core/large-map.ts';
import { READER_NODE_FLAGS } from '../core/processes.ts';
import { err, ok, type Result } from '../core/result.ts';
import { sameData } from '../core/same-data.ts';
import { SharedParts } from '../core/shared-parts.ts';
import { TURNS } from '../linux/turns.ts';

const READER = fileURLToPath(new URL('./config-worker.js', import.meta.url));

/** Services from which on the reader stays: reading fewer takes about as long as starting it. */
export const READER_STAYS_FROM = 1_000;

export interface ConfigRequest {
  readonly path: string;
  /** Name of this director; null for the host's. */
  readonly director: string | null;
}

export interface ConfigAnswer {
  readonly result: Result<Config, readonly ConfigError[]>;
  /** Values that are allowed but probably mistakes. */
  readonly warnings: readonly ConfigError[];
  /** Every file that was read for it. */
  readonly sources: readonly SourceFile[];
}

/** What is asked of the reader: to read the file again, or for the next part of its answer. */
export type ReaderRequest = { readonly kind: 'read' } | { readonly kind: 'more' };

export type ReaderMessage =
  /**
   * Services that are new or not as they were, in any number of messages; `more`: another one follows
   * when it is asked for, so that as much is taken in a turn of the event loop as one can take.
   */
  | {
      readonly kind: 'services';
      readonly services: readonly ServiceConfig[];
      readonly more: boolean;
    }
  /** A part of a long file, the one at this place of the sources; another message follows as above. */
  | {
      readonly kind: 'content';
      readonly index: number;
      /** Of the whole file. */
      readonly lengthBytes: number;
      /** Of this part in it. */
      readonly offsetBytes: number;
      readonly bytes: Uint8Array;
    }
  /** The next names of all services in their order; another message follows as above. */
  | { readonly kind: 'names'; readonly names: readonly string[] }
  /** The end of an answer; `sameNames`: no names came before it, since they are those of the last one. */
  | {
      readonly kind: 'config';
      readonly rest: Omit<Config, 'services'>;
      readonly sameNames: boolean;
      readonly warnings: readonly ConfigError[];
      readonly sources: readonly SourceFile[];
    }
  | { readonly kind: 'errors'; readonly errors: readonly ConfigError[] };

type ReaderPart = Extract<ReaderMessage, { kind: 'services' | 'content' | 'names' }>;

/** Different checks, and words, of services that are made one: few configurations have more. */
const SHARED_PARTS_MAX = 1_024;
/** What is different in each service and server. */
const OWN_PARTS = ['name', 'address', 'entries', 'identity', 'servers', 'sorryServers'];

/** What came already of an answer. */
interface Received {
  /** Of the services. */
  readonly parts: SharedParts;
  readonly services: LargeMap<ServiceConfig>;
  readonly names: string[];
  /** Long files, by their places among the sources; filled part by part. */
  readonly contents: Map<number, Uint8Array>;
}

export class ConfigSource {
  readonly #request: ConfigRequest;
  #reader: ChildProcess | null = null;
  #reading: Promise<unknown> = Promise.resolve();
  /** Of the last good answer, by their names. */
  #services = new LargeMap<ServiceConfig>();
  /** Their names, in the order of the file. */
  #names: readonly string[] = [];

  constructor(request: ConfigRequest) {
    this.#request = request;
  }

  /**
   * Reads the file, after earlier calls. Rejects when the reader ends without an answer: a defect,
   * or no process to be had.
   */
  read(): Promise<ConfigAnswer> {
    const reading = this.#reading.then(() => this.#read());
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  #read(): Promise<ConfigAnswer> {
    const reader = this.#ask();
    const parts = new SharedParts(SHARED_PARTS_MAX, OWN_PARTS);
    const received: Received = {
      parts,
      services: new LargeMap(),
      names: [],
      contents: new Map(),
    };
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        reader.off('message', onMessage).off('error', onError).off('exit', onExit);
        settle();
      };
      const onError = (error: Error): void => end(() => reject(error));
      const onExit = (code: number | null, signal: string | null): void => {
        const how = signal ?? code;
        end(() => reject(new Error(`The reader of the configuration ended with ${how}`)));
      };
      const onMessage = (raw: unknown): void => {
        const message = raw as ReaderMessage;
        if (message.kind === 'config' || message.kind === 'errors') {
          return end(() => resolve(this.#answer(message, received)));
        }
        this.#receive(message, received);
        const more = (): void => request(reader, { kind: 'more' });
        // Services are made of many objects, and garbage is collected between turns.
        if (message.kind !== 'services') more();
        else if (message.more) void TURNS.nextTurn().then(more);
      };
      reader.on('message', onMessage).on('error', onError).on('exit', onExit);
    });
  }

  /** The reader that has stayed is asked again; a new one reads by itself. */
  #ask(): ChildProcess {
    if (this.#reader?.connected === true) {
      request(this.#reader, { kind: 'read' });
      return this.#reader;
    }
    // 'advanced' is structured cloning: a Config has values that JSON has no words for.
    const reader = fork(READER, [JSON.stringify(this.#request)], {
      execArgv: [...READER_NODE_FLAGS],
      serialization: 'advanced',
    });
    // Its errors outside of an answer are those of its end.
    reader.on('error', () => {});
    this.#reader = reader;
    return reader;
  }

  #receive(message: ReaderPart, { parts, services, names, contents }: Received): void {
    if (message.kind === 'names') {
      names.push(...message.names);
      return;
    }
    if (message.kind === 'services') {
      for (const service of message.services) {
        services.set(service.name, this.#known(service) ?? parts.share(service));
      }
      return;
    }
    const { index, lengthBytes, offsetBytes, bytes } = message;
    const content = contents.get(index) ?? new Uint8Array(lengthBytes);
    contents.set(index, content);
    content.set(bytes, offsetBytes);
  }

  /** The same as it was before; null when it is not. */
  #known(service: ServiceConfig): ServiceConfig | null {
    const before = this.#services.get(service.name);
    return before !== undefined && sameData(before, service) ? before : null;
  }

  async #answer(
    message: Exclude<ReaderMessage, ReaderPart>,
    received: Received,
  ): Promise<ConfigAnswer> {
    const stays = (count: number) => count >= READER_STAYS_FROM;
    if (message.kind === 'errors') {
      if (!stays(this.#services.size)) this.#reader = null;
      return { result: err(message.errors), warnings: [], sources: [] };
    }
    const { rest, warnings } = message;
    const services = new LargeMap<ServiceConfig>();
    const inOrder: ServiceConfig[] = [];
    const take = (name: string): void => {
      const service = received.services.get(name) ?? this.#services.get(name);
      if (service === undefined || services.has(name)) return;
      services.set(name, service);
      inOrder.push(service);
    };
    const names = message.sameNames ? this.#names : received.names;
    await inTurns(names, take, TURNS);
    await TURNS.nextTurn();
    [this.#services, this.#names] = [services, names];
    if (!stays(services.size)) this.#reader = null;
    const sources = message.sources.map((source, index) => {
      const content = received.contents.get(index);
      return content === undefined ? source : { ...source, content };
    });
    await TURNS.nextTurn();
    return { result: ok({ ...rest, services: inOrder }), warnings, sources };
  }
}

/** One that has ended meanwhile is told of by its end. */
function request(reader: ChildProcess, message: ReaderRequest): void {
  if (reader.connected) reader.send(message, () => {});
}
