/**
 * Recognizes files of keepalived and ldirectord, which people try first: to them every line is
 * wrong in this language, and what helps is one sentence. Only asked of files with errors.
 */

interface ForeignFormat {
  readonly program: string;
  readonly guide: string;
  /** A line that stands in such files and in none of ours. */
  readonly line: RegExp;
}

const FORMATS: readonly ForeignFormat[] = [
  {
    program: 'keepalived',
    guide: 'docs/guides/from-keepalived.md',
    line: /^[ \t]*(?:global_defs|vrrp_instance|vrrp_sync_group|vrrp_script|virtual_server)\b[^:\n]*\{/m,
  },
  {
    program: 'ldirectord',
    guide: 'docs/guides/health-checks.md#from-ldirectord',
    line: /^[ \t]*virtual6?[ \t]*=[ \t]*\S/m,
  },
];

/** What to say of such a file, and the line (from 1) that gave it away; null for any other text. */
export function foreignFile(text: string): { message: string; line: number } | null {
  for (const { program, guide, line } of FORMATS) {
    const at = text.search(line);
    if (at < 0) continue;
    return {
      message:
        `this is a configuration file of ${program}, and vipkeeper has a format of its own: ` +
        `${guide} lists the counterpart of each option`,
      line: text.slice(0, at).split('\n').length,
    };
  }
  return null;
}
