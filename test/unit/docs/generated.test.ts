/** The generated documentation is current, and roff has nothing to say about the man pages. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import { generatedDocs } from '../../docs/generated.ts';

const ROOT = join(import.meta.dirname, '../../..');
const DOCS = generatedDocs();
const MAN = DOCS.filter(({ path }) => path.startsWith('docs/man/'));

describe('generated documentation', () => {
  test.each(DOCS)('$path is current', ({ path, text }) => {
    const present = readFileSync(join(ROOT, path), 'utf8');
    expect(present, `${path} is stale: npm run docs writes it`).toBe(text);
  });

  test('docs/man holds these pages and no others', () => {
    const files = readdirSync(join(ROOT, 'docs/man')).map((file) => `docs/man/${file}`);
    expect(files.sort()).toEqual(MAN.map(({ path }) => path).sort());
  });

  test.each(MAN)('$path is valid roff', ({ path }) => {
    const args = ['-man', '-Tutf8', '-ww', '-z', join(ROOT, path)];
    const groff = spawnSync('groff', args, { encoding: 'utf8' });
    expect(groff.error, "groff is in Debian's package groff-base").toBeUndefined();
    expect(`${groff.stdout}${groff.stderr}`).toBe('');
    expect(groff.status).toBe(0);
  });

  test('a man page shows what is typed as it is typed', () => {
    const page = join(ROOT, 'docs/man/vipkeeper-status.1');
    const options = { encoding: 'utf8', env: { ...process.env, GROFF_NO_SGR: '1' } } as const;
    const args = ['-man', '-Tascii', '-P-cbou', '-rLL=200n', page];
    const { stdout } = spawnSync('groff', args, options);
    const status = COMMANDS.find(({ name }) => name === 'status');
    for (const { command } of status?.examples ?? []) expect(stdout).toContain(` ${command}\n`);
    for (const { name } of status?.options ?? []) expect(stdout).toContain(` --${name}`);
  });
});
