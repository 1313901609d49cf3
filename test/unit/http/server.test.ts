/**
 * The HTTP server over loopback and the control socket in a directory of its own: routes, bounds,
 * and what happens when the address is taken.
 */
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Problem } from '../../../src/core/problem.ts';
import type { Result } from '../../../src/core/result.ts';
import type {
  DirectorControl,
  DirectorStatus,
  StatusSource,
  TableLists,
} from '../../../src/core/status.ts';
import { type Listening, serveControl, serveHttp } from '../../../src/http/server.ts';
import { stallOf } from '../stall.ts';
import { STATUS } from '../status-fixture.ts';

const SOURCE: DirectorControl = {
  status: async () => STATUS,
  reload: async () => ({ errors: [], problems: [] }),
  restart: () => {},
  handover: async () => ({ started: true, error: null, plans: [] }),
  takeback: async () => ({ error: null, plans: [] }),
  override: async () => ({ error: null, servers: [], consequences: [], needsForce: false }),
  table: async () => TABLE,
};
const TABLE: TableLists = {
  director: 'dir-a',
  configFile: '/etc/vipkeeper/vipkeeper.yaml',
  observed: [],
  owned: [['tcp 192.0.2.10:80', ['10.0.0.1:80']]],
  nowUs: 1,
  checks: [],
  pools: [],
  active: [],
  leaving: [],
  overrides: [],
  passive: [],
};

/** Members as what reads the JSON finds them. */
function named(lists: Readonly<Record<string, readonly (readonly [string, unknown])[]>>): object {
  return Object.fromEntries(
    Object.entries(lists).map(([name, entries]) => [name, Object.fromEntries(entries)]),
  );
}

const LOOPBACK = { host: '127.0.0.1', port: 0 };

const open: Listening[] = [];
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-http-'));
});

afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function listening(started: Promise<Result<Listening, Problem>>): Promise<Listening> {
  const result = await started;
  if (!result.ok) throw new Error(result.error.message);
  open.push(result.value);
  return result.value;
}

async function problem(started: Promise<Result<Listening, Problem>>): Promise<Problem> {
  const result = await started;
  if (result.ok) {
    open.push(result.value);
    throw new Error('it listens');
  }
  return result.error;
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

function ask(server: Listening, path: string, asked: Asked = {}): Promise<Reply> {
  const where = server.port === 0 ? { socketPath: server.address } : { port: server.port };
  const { method = 'GET', headers = {} } = asked;
  return new Promise((resolve, reject) => {
    const sent = request(
      { ...where, host: '127.0.0.1', path, method, headers, agent: false },
      (response) => {
        let body = '';
        // A character may come in two parts.
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode as number, headers: response.headers, body }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(asked.body);
  });
}

describe('routes', () => {
  test('GET /v1/status answers the status as JSON', async () => {
    const reply = await ask(await listening(serveHttp(LOOPBACK, SOURCE)), '/v1/status');
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(JSON.parse(reply.body)).toEqual(STATUS);
  });

  test('GET /metrics answers Prometheus text, whatever the query', async () => {
    const reply = await ask(await listening(serveHttp(LOOPBACK, SOURCE)), '/metrics?x=1');
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(reply.body).toContain('vipkeeper_build_info{version="0.1.0"} 1\n');
  });

  test('GET /healthz answers without a status', async () => {
    const source = { status: () => Promise.reject(new Error('none')) };
    const reply = await ask(await listening(serveHttp(LOOPBACK, source)), '/healthz');
    expect([reply.status, reply.body]).toEqual([200, 'ok\n']);
  });

  test('HEAD answers the headers of GET without the body', async () => {
    const server = await listening(serveHttp(LOOPBACK, SOURCE));
    const reply = await ask(server, '/v1/status', { method: 'HEAD' });
    expect([reply.status, reply.body]).toEqual([200, '']);
    const lengthBytes = Buffer.byteLength(JSON.stringify(STATUS)) + 1;
    expect(reply.headers['content-length']).toBe(`${lengthBytes}`);
  });

  test('an unknown path is 404 and another method 405, as JSON', async () => {
    const server = await listening(serveHttp(LOOPBACK, SOURCE));
    const missing = await ask(server, '/v1/statu');
    expect(missing.status).toBe(404);
    expect(JSON.parse(missing.body)).toEqual({
      error: 'No such page: there are /metrics, /v1/status, /v1/explain and /healthz',
    });
    const posted = await ask(server, '/v1/status', { method: 'DELETE' });
    expect([posted.status, posted.headers.allow]).toEqual([405, 'GET, HEAD']);
    expect(JSON.parse(posted.body)).toEqual({ error: 'Only GET and HEAD are allowed' });
  });

  test('a source that rejects is 503 with its reason', async () => {
    const source = { status: () => Promise.reject(new Error('the keeper is gone')) };
    const server = await listening(serveHttp(LOOPBACK, source));
    for (const path of ['/v1/status', '/metrics']) {
      const reply = await ask(server, path);
      expect(reply.status).toBe(503);
      expect(JSON.parse(reply.body)).toEqual({
        error: 'The status is not available: the keeper is gone',
      });
    }
  });
});

describe('bounds', () => {
  test('a request with a body is 413 and its connection ends', async () => {
    const server = await listening(serveHttp(LOOPBACK, SOURCE));
    const headers = { 'content-length': '5' };
    const reply = await ask(server, '/metrics', { headers, body: 'hello' });
    expect([reply.status, reply.headers.connection]).toEqual([413, 'close']);
  });

  test('a source that does not answer is 503 after 15 s, and holds up no later request', async () => {
    let answers = false;
    let asked = () => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const source: StatusSource = {
      status: () => {
        asked();
        return answers ? SOURCE.status() : new Promise(() => {});
      },
    };
    const server = await listening(serveHttp(LOOPBACK, source));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const late = ask(server, '/metrics');
      await isAsked;
      vi.advanceTimersByTime(15_000);
      const reply = await late;
      expect([reply.status, JSON.parse(reply.body)]).toEqual([
        503,
        { error: 'The status is not available: no answer in 15000 ms' },
      ]);
    } finally {
      vi.useRealTimers();
    }
    answers = true;
    expect((await ask(server, '/metrics')).status).toBe(200);
  });

  test('a reader whose answer is in the making is not idle, one that takes nothing is', async () => {
    const many = { ...STATUS, checks: Array(100_000).fill(STATUS.checks[0]) };
    const source = {
      status: async () => {
        await new Promise((resolve) => setTimeout(resolve, 600));
        return many;
      },
    };
    const server = await listening(serveHttp({ ...LOOPBACK, idleTimeoutMs: 200 }, source));
    const { status, body } = await ask(server, '/v1/status');
    expect([status, (JSON.parse(body) as DirectorStatus).checks.length]).toEqual([200, 100_000]);
    const reader = await connected(server.port);
    reader.write('GET /v1/status HTTP/1.1\r\nhost: director\r\n\r\n');
    // More than the kernel keeps for it.
    const closed = new Promise((resolve) => reader.once('close', resolve));
    await new Promise((resolve) => reader.once('readable', resolve));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    let readBytes = 0;
    reader.on('data', (chunk) => {
      readBytes += chunk.length;
    });
    await closed;
    expect(readBytes).toBeLessThan(body.length);
  });

  test('headers above 8 KiB are 431', async () => {
    const server = await listening(serveHttp(LOOPBACK, SOURCE));
    const reply = await ask(server, '/healthz', { headers: { cookie: 'x'.repeat(9_000) } });
    expect(reply.status).toBe(431);
  });

  test('the 65th connection at once is closed, and one after another ended is taken', async () => {
    const server = await listening(serveHttp(LOOPBACK, SOURCE));
    const sockets: Socket[] = [];
    for (let index = 0; index < 64; index++) sockets.push(await connected(server.port));
    const refused = await connected(server.port);
    await new Promise((resolve) => refused.once('close', resolve));
    const [first] = sockets as [Socket];
    await new Promise((resolve) => first.once('close', resolve).destroy());
    // The server learns of the end at its own time.
    await expect
      .poll(() =>
        ask(server, '/healthz').then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});

function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

describe('serveHttp', () => {
  test('tells its address, and frees it when closed', async () => {
    const server = await listening(serveHttp(LOOPBACK, SOURCE));
    expect(server.address).toBe(`http://127.0.0.1:${server.port}`);
    await server.close();
    await server.close();
    const again = await listening(serveHttp({ host: '127.0.0.1', port: server.port }, SOURCE));
    expect(again.port).toBe(server.port);
  });

  test('a taken port is VK-PORT-IN-USE with the port to look for', async () => {
    const { port } = await listening(serveHttp(LOOPBACK, SOURCE));
    expect(await problem(serveHttp({ host: '127.0.0.1', port }, SOURCE))).toEqual({
      code: 'VK-PORT-IN-USE',
      message: `Another program listens on 127.0.0.1:${port}`,
      cure: `Find it with \`ss -ltnp 'sport = :${port}'\`, or set http.listen to another port`,
    });
  });

  test('an address of another machine is VK-SYSTEM with the errno', async () => {
    const found = await problem(serveHttp({ host: '192.0.2.1', port: 0 }, SOURCE));
    expect(found.code).toBe('VK-SYSTEM');
    expect(found.message).toBe('Listening on 192.0.2.1:0 failed with EADDRNOTAVAIL');
  });
});

describe('GET /v1/explain', () => {
  test('explains every instance, or the one that is asked for, as the command does', async () => {
    let mute = false;
    const source = {
      status: async () => (mute ? { ...STATUS, instances: [], static: null } : STATUS),
    };
    const server = await listening(serveHttp({ host: '127.0.0.1', port: 0 }, source));
    const all = await ask(server, '/v1/explain');
    expect(all.status).toBe(200);
    const names = STATUS.instances.map(({ name }) => name);
    expect(
      (JSON.parse(all.body) as { instance: string }[]).map(({ instance }) => instance),
    ).toEqual(names);
    const one = await ask(server, '/v1/explain?instance=mail6');
    expect(JSON.parse(one.body)).toMatchObject([
      { instance: 'mail6', state: 'fault', findings: [{ kind: 'in-fault' }] },
    ]);
    const none = await ask(server, '/v1/explain?instance=none');
    expect(none.status).toBe(404);
    expect(none.body).toContain('instances here: web, mail6');
    mute = true;
    const unknown = await ask(server, '/v1/explain?instance=web');
    expect(unknown.status).toBe(503);
    expect(unknown.body).toContain('VK-NO-KEEPER');
    await server.close();
  });
});

describe('serveControl', () => {
  test('makes the directory and a socket of mode 0600, and answers on it', async () => {
    const path = join(directory, 'run', 'control.sock');
    const server = await listening(serveControl(path, SOURCE));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(existsSync(`${path}.new`)).toBe(false);
    expect((await ask(server, '/v1/status')).status).toBe(200);
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  test('a status of thousands of services is whole, and made and sent in many short turns', async () => {
    const [one] = STATUS.services;
    const services = Array.from({ length: 4_000 }, (_, index) => ({ ...one, name: `ö${index}` }));
    const large = { ...STATUS, services } as DirectorStatus;
    const server = await listening(serveHttp(LOOPBACK, { ...SOURCE, status: async () => large }));
    const { value, stallMs, allMs } = await stallOf(() => ask(server, '/v1/status'));
    expect(JSON.parse(value.body)).toEqual(large);
    expect(stallMs).toBeLessThan(allMs / 3);
  });

  test('GET /v1/table tells all of a table, however long, there alone', async () => {
    const many = <T>(value: T) =>
      Array.from({ length: 450 }, (_, index) => [`"${index}"`, value] as const);
    const health = { health: 'up', sinceUs: 1, recoveredAtUs: null, checkWeight: null } as const;
    const pool = {
      quorumMet: true,
      foundMet: null,
      foundOut: [],
      lastServing: ['a'],
      stayed: [],
      takenOut: [],
      returned: [],
      maintained: [],
      waitedWith: [],
    };
    const whole = { ...TABLE, checks: many(health), pools: many(pool), owned: many(['a', 'b']) };
    for (const view of [whole, TABLE, { ...TABLE, observed: null }]) {
      const source = { ...SOURCE, table: async () => view };
      const server = await listening(serveControl(join(directory, 'control.sock'), source));
      const reply = await ask(server, '/v1/table');
      const { owned, checks, pools } = view;
      const read = { ...view, ...named({ owned, checks, pools }) };
      expect([reply.status, JSON.parse(reply.body)]).toEqual([200, read]);
      await server.close();
    }
    const reachable = await listening(serveHttp(LOOPBACK, SOURCE));
    expect((await ask(reachable, '/v1/table')).status).toBe(404);
  });

  test('replaces a socket on which nobody answers', async () => {
    const path = join(directory, 'control.sock');
    await leaveStaleSocket(path);
    const server = await listening(serveControl(path, SOURCE));
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  test('a socket on which somebody answers is VK-ALREADY-RUNNING and stays', async () => {
    const path = join(directory, 'control.sock');
    const server = await listening(serveControl(path, SOURCE));
    const found = await problem(serveControl(path, SOURCE));
    expect(found.code).toBe('VK-ALREADY-RUNNING');
    expect(found.message).toContain(path);
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  test('leaves a file of the same name alone with VK-RUNTIME-DIRECTORY', async () => {
    const path = join(directory, 'control.sock');
    writeFileSync(path, 'precious');
    expect((await problem(serveControl(path, SOURCE))).code).toBe('VK-RUNTIME-DIRECTORY');
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  test('a path that sockets cannot have is VK-RUNTIME-DIRECTORY', async () => {
    const path = join(directory, 'x'.repeat(120), 'control.sock');
    expect((await problem(serveControl(path, SOURCE))).message).toContain('is too long');
  });

  test('a directory that is a file is VK-RUNTIME-DIRECTORY', async () => {
    writeFileSync(join(directory, 'file'), '');
    const path = join(directory, 'file', 'control.sock');
    expect((await problem(serveControl(path, SOURCE))).code).toBe('VK-RUNTIME-DIRECTORY');
  });

  test('closing does not take away the socket of a successor', async () => {
    const path = join(directory, 'control.sock');
    const earlier = await listening(serveControl(path, SOURCE));
    renameSync(path, `${path}.old`);
    const later = await listening(serveControl(path, SOURCE));
    await earlier.close();
    expect((await ask(later, '/healthz')).status).toBe(200);
  });
});

describe('actions', () => {
  async function post(server: Listening, path: string): Promise<{ status: number; body: string }> {
    const { status, body } = await ask(server, path, { method: 'POST' });
    return { status, body };
  }

  test('a reload is 200 without errors and 422 with them', async () => {
    let errors: string[] = [];
    const source = { ...SOURCE, reload: async () => ({ errors, problems: [] }) };
    const server = await listening(serveControl(join(directory, 'control.sock'), source));
    expect(await post(server, '/v1/reload')).toEqual({
      status: 200,
      body: '{"errors":[],"problems":[]}\n',
    });
    errors = ['f.yaml:1:1: wrong'];
    const refused = await post(server, '/v1/reload');
    expect(refused).toEqual({
      status: 422,
      body: '{"errors":["f.yaml:1:1: wrong"],"problems":[]}\n',
    });
  });

  test('a restart is answered before it happens', async () => {
    let restarted = 0;
    const done = new Promise<void>((resolve) => {
      const restart = () => {
        restarted++;
        resolve();
      };
      void listening(serveControl(join(directory, 'control.sock'), { ...SOURCE, restart })).then(
        async (server) => {
          expect((await post(server, '/v1/restart')).status).toBe(202);
          expect(restarted).toBe(0);
        },
      );
    });
    await done;
    expect(restarted).toBe(1);
  });

  test('a restart that the keeper cannot make, since it does not answer, is none', async () => {
    const source: DirectorControl = {
      ...SOURCE,
      status: async () => ({ ...STATUS, instances: [], static: null }),
      restart: () => expect.unreachable('It would wait for the keeper for ever'),
    };
    const server = await listening(serveControl(join(directory, 'control.sock'), source));
    const answer = await post(server, '/v1/restart');
    expect(answer.status).toBe(503);
    expect(answer.body).toContain('VK-NO-KEEPER');
  });

  test('they do not exist over TCP, and need POST', async () => {
    const tcp = await listening(serveHttp(LOOPBACK, SOURCE));
    expect((await post(tcp, '/v1/restart')).status).toBe(404);
    const unix = await listening(serveControl(join(directory, 'control.sock'), SOURCE));
    expect((await ask(unix, '/v1/restart')).status).toBe(405);
  });
});

/** A listening socket whose name is moved away before it closes keeps its name. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.a`, resolve));
  renameSync(`${path}.a`, path);
  await new Promise((resolve) => server.close(resolve));
  expect(statSync(path).isSocket()).toBe(true);
}
