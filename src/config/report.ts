/**
 * Report: collects what is wrong with a configuration's values, by path, and turns it into
 * located errors. It knows how the schema's issues read and which texts must never be shown.
 */

import type { ConfigDocument, Path } from './document.ts';
import { isDoubtful } from './doubtful.ts';
import type { ConfigError } from './errors.ts';
import type { Issue } from './forms.ts';
import { unknownKeyMessage } from './suggest.ts';

export interface ReportOptions {
  readonly document: ConfigDocument;
  readonly file: string;
  readonly director: string;
}

/** What stands beside the keys of `hmac` and may be shown. */
const HMAC_SHOWN = ['active_key', 'mode', 'replay', 'window'] as const;

/** Passwords and keys, also where a key was put in the place of the whole section. */
function isSecret(path: Path): boolean {
  if (path.includes('password') || path.includes('secret')) return true;
  return path.includes('hmac') && !HMAC_SHOWN.some((key) => path.includes(key));
}

/** 'found': show the text at the path; 'bare': the message says it all. */
type Show = 'found' | 'bare';

/** A file that the configuration names and that is used when it runs. */
export interface NamedFile {
  readonly path: Path;
  readonly file: string;
  readonly use: 'read' | 'run';
  /** Who runs it, where that is not notify.user. */
  readonly user?: string | null;
  /** What follows while it cannot be used. */
  readonly consequence: string;
}

/** Files of a section that speaks TLS; null for those that it does not name. */
export interface CertificateFiles {
  readonly path: Path;
  readonly caFile: string | null;
  readonly certificateFile: string | null;
  readonly keyFile: string | null;
}

export class Report {
  /** Not looked at here: this machine may be another one than the director. */
  readonly files: NamedFile[] = [];
  /** The same, by what is in them. */
  readonly certificates: CertificateFiles[] = [];
  readonly #options: ReportOptions;
  readonly #errors: ConfigError[] = [];
  readonly #warnings: ConfigError[] = [];
  readonly #doubts = new Map<string, ReadonlySet<string>>();

  constructor(options: ReportOptions) {
    this.#options = options;
  }

  /** These keys of 'services.NAME' or 'vrrp.NAME' were left out: what may follow is no error. */
  doubt(entry: string, without: ReadonlySet<string>): void {
    this.#doubts.set(entry, without);
  }

  /** A value that is not allowed. */
  error(path: Path, message: string, show: Show = 'found'): void {
    if (this.#doubts.size > 0 && isDoubtful(this.#doubts, path)) return;
    this.#errors.push(this.#locate(path, message, { show, atKey: false }));
  }

  /** A value that is allowed but probably a mistake. */
  warning(path: Path, message: string): void {
    this.#warnings.push(this.#locate(path, message, { show: 'bare', atKey: false }));
  }

  /** What the schema found; `issue.path` is absolute. */
  issue(issue: Issue): void {
    if (issue.kind === 'unknown-keys') {
      for (const key of issue.keys) {
        const path = [...issue.path, key];
        const message = unknownKeyMessage(key, issue.valid);
        this.#errors.push(this.#locate(path, message, { show: 'bare', atKey: true }));
      }
      return;
    }
    const atKey = issue.kind === 'key';
    const show = atKey || issue.bare ? 'bare' : 'found';
    this.#errors.push(this.#locate(issue.path, issue.message, { show, atKey }));
  }

  /** In the order of the checks; arrangeErrors brings them into the file's. */
  get errors(): readonly ConfigError[] {
    return this.#errors;
  }

  get warnings(): readonly ConfigError[] {
    return this.#warnings;
  }

  #locate(path: Path, message: string, how: { show: Show; atKey: boolean }): ConfigError {
    const { document, file, director } = this.#options;
    const place = document.locate(path, { director, atKey: how.atKey });
    const secret = isSecret(path) && place.found !== 'nothing';
    const found = secret ? 'a text that is not shown' : place.found;
    return {
      code: 'VK-CONFIG-INVALID',
      file,
      line: place.line,
      column: place.column,
      path: place.path,
      message,
      found: how.show === 'bare' ? null : found,
    };
  }
}
