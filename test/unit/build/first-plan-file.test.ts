/** The installed reader of a first start: it does as its modules, with yaml as a file of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firstPlan } from '../../../src/controller/first-plan.ts';

const START = join(import.meta.dirname, '../../../dist/start');
const require = createRequire(import.meta.url);
const installed = require(join(START, 'first-plan.js')) as { firstPlan: typeof firstPlan };
const hasYaml = () => join(START, 'yaml.js') in require.cache;

let directory: string;
let config: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vk-first-'));
  config = join(directory, 'vipkeeper.yaml');
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function bothRead(text: string) {
  writeFileSync(config, text);
  const request = { config, director: 'a' };
  return [installed.firstPlan(request), firstPlan(request)];
}

const PLAIN = `vrrp:
  web: { interface: eth0, vrid: 51, addresses: [192.0.2.10/24] }
`;
/** With an anchor, which only the library reads. */
const ANCHORED = `vrrp:
  web: &usual { interface: eth0, vrid: 51, addresses: [192.0.2.10/24] }
  mail: { <<: *usual, vrid: 52, addresses: [192.0.2.20/24] }
`;

describe('dist/start/first-plan.js', () => {
  test('reads what is plainly written without the library', () => {
    const [read, expected] = bothRead(PLAIN);
    expect(read).toEqual(expected);
    expect(read?.plan.instances).toHaveLength(1);
    expect(hasYaml()).toBe(false);
  });

  test('reads everything else with it', () => {
    const [read, expected] = bothRead(ANCHORED);
    expect(read).toEqual(expected);
    expect(read?.plan.instances).toHaveLength(2);
    expect(hasYaml()).toBe(true);
  });

  test.each([
    ['in the YAML', `${PLAIN}  web: {}\n`],
    ['of a value', `${ANCHORED}  db: { interface: eth0, vrid: 256 }\n`],
    ['of an alias', 'vrrp: *nobody\n'],
  ])('leaves a mistake %s to the controller', (_what, text) => {
    expect(bothRead(text)).toEqual([null, null]);
  });
});
