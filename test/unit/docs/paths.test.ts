/** What documents name is there: their links, the files of architecture.md, the man pages to install. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { REPOSITORY } from '../../lab/host.ts';

const documents = [
  ...readdirSync(REPOSITORY).filter((name) => name.endsWith('.md')),
  ...['docs', 'test'].flatMap((folder) =>
    filesBelow(folder).filter((name) => name.endsWith('.md')),
  ),
];

/** Paths of all files below a folder, from the repository's root. */
function filesBelow(folder: string): string[] {
  return readdirSync(join(REPOSITORY, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(REPOSITORY.length).replace(/^\//, ''));
}

function textOf(document: string): string {
  return readFileSync(join(REPOSITORY, document), 'utf8');
}

/** The anchors of a document's headings, as hosts of repositories make them. */
function anchorsOf(document: string): Set<string> {
  const headings = textOf(document).matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  );
}

describe('links', () => {
  test('there are documents', () => {
    expect(documents).toContain('README.md');
    expect(documents).toContain('docs/architecture.md');
    expect(documents.length).toBeGreaterThan(15);
  });

  test.each(documents)('of %s lead somewhere', (document) => {
    const dead = [...textOf(document).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [path = '', anchor] = target.split('#', 2);
        const file = path === '' ? document : join(dirname(document), path);
        if (!existsSync(join(REPOSITORY, file))) return true;
        return anchor !== undefined && !anchorsOf(file).has(anchor);
      });
    expect(dead).toEqual([]);
  });
});

describe('docs/architecture.md', () => {
  const text = textOf('docs/architecture.md');
  const sources = ['src', 'test', 'build'].flatMap(filesBelow);

  test('names files that are there', () => {
    const named = [...text.matchAll(/`([\w./-]+\.(?:ts|mjs|cjs))`/g)].map(([, name = '']) => name);
    const missing = named.filter(
      (name) => !sources.some((file) => `/${file}`.endsWith(`/${name}`)),
    );
    expect(named.length).toBeGreaterThan(30);
    expect(missing).toEqual([]);
  });

  test('shows every folder of the sources', () => {
    const house = text.slice(text.indexOf('## The house'));
    const folders = new Set(
      sources
        .filter((file) => /^(src|test)\//.test(file))
        .map((file) => file.split('/').slice(1, file.startsWith('src/core/') ? 3 : 2))
        .filter((parts) => !parts.at(-1)?.includes('.'))
        .map((parts) => `${parts.at(-1)}/`),
    );
    expect([...folders].filter((folder) => !house.includes(folder))).toEqual([]);
  });
});

test('package.json installs every man page', () => {
  const { man } = JSON.parse(textOf('package.json')) as { man: readonly string[] };
  expect([...man].sort()).toEqual(filesBelow('docs/man').sort());
});
