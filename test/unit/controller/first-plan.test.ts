/** The plan that the keeper's process reads itself at a first start. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readConfigText } from '../../../src/config/yaml.ts';
import { firstPlan } from '../../../src/controller/first-plan.ts';
import { keeperPlan } from '../../../src/controller/keeper-plan.ts';

let directory: string;
let config: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vk-first-'));
  config = join(directory, 'vipkeeper.yaml');
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const WEB = 'web: { interface: eth0, vrid: 51, interval: 100ms, addresses: [192.0.2.10/24] }';
const SERVICE = 'services: { web: { address: "192.0.2.10:80", servers: ["10.0.0.11:80"] } }';

function planOf(text: string) {
  writeFileSync(config, text);
  return firstPlan({ config, director: 'a' });
}

describe('firstPlan', () => {
  test('is the plan that the controller makes of the same text', () => {
    const text = `vrrp: { ${WEB} }\n`;
    const read = readConfigText(text, { file: config, director: 'a', hostname: 'a' });
    expect(planOf(text)).toEqual({
      plan: keeperPlan(read.ok ? read.value : expect.fail()),
      interfaces: ['eth0'],
    });
  });

  test.each([
    ['with an error', 'vrrp: { web: { interface: eth0 } }'],
    ['that is no YAML', 'vrrp: ['],
    ['that needs a controller first', `vrrp: { ${WEB} }\n${SERVICE}\n`],
    ['that takes longer to read', `vrrp: { ${WEB} }\n#${' '.repeat(40_000)}\n`],
  ])('leaves a configuration %s to the controller', (_what, text) => {
    expect(planOf(text)).toBeNull();
  });

  test('leaves a file that does not exist to the controller', () => {
    expect(firstPlan({ config, director: null })).toBeNull();
  });
});
