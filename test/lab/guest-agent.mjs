/**
 * Guest agent: runs commands inside the virtual machine for vm.ts. Plain JavaScript without
 * dependencies, because it must start before anything is built and starts slowly as it is.
 *
 * JSON lines over a virtio serial port; `data` is base64. Requests: {op: 'spawn', id, argv, cwd,
 * env}, {op: 'stdin', id, data}, {op: 'end', id}, {op: 'kill', id, signal}, {op: 'write', id, path,
 * data}. Answers: {op: 'ready', release, complaints}, {op: 'started', id, pid},
 * {op: 'stdout' | 'stderr', id, data}, {op: 'exit', id, code}, which a file that is written has as
 * well, {op: 'error', id, message}. Invariants: what a command prints arrives
 * before its exit; output waits in pipes, not in memory, while the host does not read; the guest
 * ends with its host.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { constants, release } from 'node:os';
import { dirname } from 'node:path';

/** Above this much unsent output the commands' pipes are no longer read. */
const BACKLOG_BYTES_MAX = 1024 * 1024;
/** The kernel tells late that the host's end is open; until then reading gives nothing. */
const CONNECT_TIMEOUT_MS = 20_000;
/** 16 MiB of input in base64: a line longer than this is a defect of the host. */
const LINE_BYTES_MAX = 24 * 1024 * 1024;

const port = await open(process.argv[2], 'r+');
const children = new Map();
const waiting = new Set();
let backlogBytes = 0;
let writing = Promise.resolve();

function send(message) {
  const line = Buffer.from(`${JSON.stringify(message)}\n`);
  backlogBytes += line.length;
  writing = writing.then(async () => {
    let offset = 0;
    while (offset < line.length) {
      const { bytesWritten } = await port.write(line, offset, line.length - offset);
      offset += bytesWritten;
    }
    backlogBytes -= line.length;
    if (backlogBytes > BACKLOG_BYTES_MAX) return;
    for (const stream of waiting) stream.resume();
    waiting.clear();
  });
}

function forward(id, op, stream) {
  stream.on('data', (chunk) => {
    send({ op, id, data: chunk.toString('base64') });
    if (backlogBytes > BACKLOG_BYTES_MAX) {
      stream.pause();
      waiting.add(stream);
    }
  });
}

function start({ id, argv, cwd, env }) {
  const child = spawn(argv[0], argv.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
  });
  children.set(id, child);
  child.on('spawn', () => send({ op: 'started', id, pid: child.pid }));
  child.on('error', (error) => {
    if (child.pid !== undefined) return;
    children.delete(id);
    send({ op: 'error', id, message: error.message });
  });
  child.on('close', (code, signal) => {
    if (!children.delete(id)) return;
    send({ op: 'exit', id, code: code ?? 128 + constants.signals[signal] });
  });
  // A command may end without reading its input; its exit code tells enough.
  child.stdin.on('error', () => {});
  forward(id, 'stdout', child.stdout);
  forward(id, 'stderr', child.stderr);
}

function kill(child, signal) {
  // Descendants that hold the output open after the leader's death are in the same group, whose
  // number cannot have been given away while one of them lives.
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function write({ id, path, data }) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.from(data, 'base64'));
  send({ op: 'exit', id, code: 0 });
}

function handle(request) {
  if (request.op === 'spawn' || request.op === 'write') {
    try {
      if (request.op === 'spawn') start(request);
      else write(request);
    } catch (error) {
      send({ op: 'error', id: request.id, message: error.message });
    }
    return;
  }
  const child = children.get(request.id);
  if (child?.pid === undefined) return;
  if (request.op === 'stdin') child.stdin.write(Buffer.from(request.data, 'base64'));
  if (request.op === 'end') child.stdin.end();
  if (request.op === 'kill') kill(child, request.signal);
}

async function serve() {
  const buffer = Buffer.alloc(256 * 1024);
  const deadline = performance.now() + CONNECT_TIMEOUT_MS;
  let heard = false;
  let rest = [];
  let restBytes = 0;
  for (;;) {
    const { bytesRead } = await port.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) {
      if (heard || performance.now() > deadline) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    heard = true;
    let from = 0;
    for (;;) {
      const to = buffer.subarray(0, bytesRead).indexOf(10, from);
      if (to < 0) break;
      rest.push(Buffer.from(buffer.subarray(from, to)));
      handle(JSON.parse(Buffer.concat(rest).toString('utf8')));
      rest = [];
      restBytes = 0;
      from = to + 1;
    }
    rest.push(Buffer.from(buffer.subarray(from, bytesRead)));
    restBytes += bytesRead - from;
    if (restBytes > LINE_BYTES_MAX) throw new Error('A request of the host is too long');
  }
}

// Standard input carries what modprobe complains about; it ends when the modules are loaded.
let complaints = '';
for await (const chunk of process.stdin) complaints += chunk;
send({ op: 'ready', release: release(), complaints });
await serve();
process.exit(0);
