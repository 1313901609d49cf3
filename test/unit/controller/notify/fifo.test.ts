import { execFileSync, spawn } from 'node:child_process';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FifoWriter } from '../../../../src/controller/notify/fifo.ts';
import { FifoJournal } from '../../../../src/controller/notify/fifo-journal.ts';
import { FifoScript } from '../../../../src/controller/notify/fifo-script.ts';
import type { Problem } from '../../../../src/core/problem.ts';
import { waitFor } from '../../probes/servers.ts';
import { ScriptDirectory } from './scripts.ts';

let directory: ScriptDirectory;
let problems: Problem[];
let overflows: number;
let writers: FifoWriter[];
beforeEach(() => {
  directory = new ScriptDirectory();
  problems = [];
  overflows = 0;
  writers = [];
});
afterEach(() => {
  for (const writer of writers) writer.close();
  directory.remove();
});

const journal = (name = 'fifo') => new FifoJournal(directory.file('journal'), directory.file(name));

function open(name = 'fifo'): FifoWriter {
  const writer = new FifoWriter(
    { path: directory.file(name), account: null, journal: journal(name) },
    { onProblem: (problem) => problems.push(problem), onOverflow: () => overflows++ },
  );
  writers.push(writer);
  return writer;
}

/** A reader that takes `bytes` at a time with a pause between; its text so far, and its end. */
function slowReader(bytes: number, pauseMs: number) {
  const stream = createReadStream(directory.file('fifo'), { highWaterMark: bytes });
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk.toString();
    stream.pause();
    setTimeout(() => stream.resume(), pauseMs);
  });
  const ended = new Promise<void>((resolve) => stream.once('end', () => resolve()));
  return { text: () => text, ended };
}

const line = (n: number): string => `INSTANCE "web" ${n % 2 === 0 ? 'MASTER' : 'BACKUP'} ${n}\n`;
const linesOf = (count: number): string =>
  Array.from({ length: count }, (_, n) => line(n)).join('');

describe('FifoWriter', () => {
  test('makes the FIFO for its owner only, and writes without a reader', () => {
    const writer = open();
    const stat = statSync(directory.file('fifo'));
    expect([stat.isFIFO(), stat.mode & 0o777]).toEqual([true, 0o600]);
    writer.write(line(0));
    expect(writer.report()).toEqual({ delivered: 1, failed: 0, dropped: 0, waiting: 0 });
  });

  test('uses a FIFO that is there as it is', () => {
    execFileSync('mkfifo', ['-m', '640', directory.file('fifo')]);
    open();
    expect(statSync(directory.file('fifo')).mode & 0o777).toBe(0o640);
    expect(problems).toEqual([]);
  });

  test('loses and reorders nothing with a slow reader, and adds no byte', async () => {
    const writer = open();
    // Three times what the pipe holds, so that most lines wait for the reader.
    const count = 6_000;
    for (let n = 0; n < count - 2_000; n++) writer.write(line(n));
    expect(writer.report().waiting).toBeGreaterThan(500);
    const reader = slowReader(8192, 1);
    await waitFor('the reader', () => reader.text() !== '');
    for (let n = count - 2_000; n < count; n++) writer.write(line(n));
    await writer.empty();
    writer.close();
    await reader.ended;
    expect(reader.text()).toBe(linesOf(count));
    expect(writer.report()).toEqual({ delivered: count, failed: 0, dropped: 0, waiting: 0 });
    expect(overflows).toBe(0);
  });

  test('without a reader drops the oldest that wait, counts them and says so once', async () => {
    const writer = open();
    const count = 9_000;
    for (let n = 0; n < count; n++) writer.write(line(n));
    const { delivered, waiting, dropped } = writer.report();
    expect(waiting).toBe(4096);
    expect(delivered + waiting + dropped).toBe(count);
    expect(dropped).toBeGreaterThan(1_000);
    expect(overflows).toBe(1);
    const reader = slowReader(65_536, 0);
    await writer.empty();
    writer.close();
    await reader.ended;
    const kept = Array.from({ length: 4096 }, (_, n) => line(count - 4096 + n));
    expect(reader.text()).toBe(linesOf(delivered) + kept.join(''));
  });

  test('makes the FIFO anew when it was removed', async () => {
    const writer = open();
    await rm(directory.file('fifo'));
    writer.write(line(0));
    const reader = slowReader(1024, 0);
    await waitFor('the line', () => reader.text() === line(0));
    expect(problems).toEqual([]);
    writer.close();
    await reader.ended;
  });

  test('says what stands in its place, once, and goes on when it is gone', async () => {
    writeFileSync(directory.file('fifo'), 'mine');
    const writer = open();
    writer.write(line(0));
    writer.write(line(1));
    expect(problems.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      `VK-FIFO: The FIFO ${directory.file('fifo')} cannot be used: it exists and is not a FIFO`,
    ]);
    await rm(directory.file('fifo'));
    await writer.empty();
    expect(writer.report()).toMatchObject({ delivered: 2, waiting: 0, dropped: 0 });
  });

  test('waits for a directory that is missing', async () => {
    const writer = open('later/fifo');
    writer.write(line(0));
    expect(problems.map(({ code }) => code)).toEqual(['VK-FIFO']);
    mkdirSync(directory.file('later'));
    await writer.empty();
    expect(existsSync(directory.file('later/fifo'))).toBe(true);
  });

  test('drops and counts what waits when it is closed', () => {
    const writer = open('later/fifo');
    writer.write(line(0));
    writer.close();
    expect(writer.report()).toEqual({ delivered: 0, failed: 0, dropped: 1, waiting: 0 });
  });
});

describe('what waits for a full FIFO', () => {
  /** A writer that ends as by SIGKILL: its memory is gone, pipe and file stay as they are. */
  const die = (writer: FifoWriter): void => {
    const file = directory.file('journal');
    const left = existsSync(file) ? readFileSync(file) : null;
    writer.close();
    if (left !== null) writeFileSync(file, left);
  };

  test('is with the next writer after a death, whole and in its order, and once', async () => {
    const count = 6_000;
    let next = 0;
    // Whoever reads keeps the pipe, as the keeper does.
    execFileSync('mkfifo', [directory.file('fifo')]);
    const reader = slowReader(1024, 4);
    for (const until of [3_500, 5_000, count]) {
      const writer = open();
      while (next < until) writer.write(line(next++));
      await waitFor('the reader', () => reader.text() !== '');
      expect(writer.report()).toMatchObject({ dropped: 0 });
      expect(writer.report().waiting).toBeGreaterThan(500);
      if (until < count) die(writer);
      else {
        await writer.empty();
        expect(existsSync(directory.file('journal'))).toBe(false);
        writer.close();
      }
    }
    await reader.ended;
    expect(reader.text()).toBe(linesOf(count));
  });

  test('is not there while nothing waits, and without what was dropped', () => {
    const kept = journal();
    const file = directory.file('journal');
    expect(kept.takeLeft()).toEqual([]);
    for (let n = 0; n < 3; n++) kept.add({ text: line(n), minor: n === 1 });
    kept.remove(1);
    expect(journal().takeLeft()).toEqual([0, 2].map((n) => ({ text: line(n), minor: false })));
    const again = journal();
    expect(again.takeLeft()).toHaveLength(2);
    again.remove(0);
    again.remove(0);
    expect(existsSync(file)).toBe(false);
  });

  test('takes a bounded file, however many lines come and go', () => {
    const kept = journal();
    const line = (index: number) => ({ text: `${'x'.repeat(100)} ${index}\n`, minor: false });
    const waiting = [0, 1, 2].map(line);
    for (const one of waiting) kept.add(one);
    for (let index = 3; index < 25_000; index++) {
      kept.add(line(index));
      waiting.push(line(index));
      kept.remove(0);
      waiting.shift();
    }
    expect(statSync(directory.file('journal')).size).toBeLessThan(1.1 * 1024 * 1024);
    expect(journal().takeLeft()).toEqual(waiting);
  });

  test('is not taken from another boot, for another FIFO, or from a piece of a line', () => {
    const file = directory.file('journal');
    journal().add({ text: line(0), minor: true });
    const text = readFileSync(file, 'utf8');
    expect(journal('other').takeLeft()).toEqual([]);
    for (const [wrong, count] of [
      [`x${text}`, 0],
      [text.slice(0, -1), 0],
      [`${text}+0 INSTA`, 1],
      [`${text}-x\n-9\n`, 0],
      ['', 0],
    ] as const) {
      writeFileSync(file, wrong);
      expect([wrong, journal().takeLeft().length]).toEqual([wrong, count]);
    }
  });
});

describe('FifoScript', () => {
  const start = (command: string[]) => {
    const ended: string[] = [];
    const script = new FifoScript(
      {
        command,
        fifo: directory.file('fifo'),
        variables: { VIPKEEPER_DIRECTOR: 'dir-a' },
        account: null,
        security: false,
        after: Promise.resolve(),
        records: { began: () => {}, ended: () => {} },
      },
      {
        onProblem: (problem) => problems.push(problem),
        onEnded: (detail, output) => ended.push(`${detail}: ${output}`),
      },
    );
    return { script, ended };
  };

  test('reads the lines, and ends with the FIFO', async () => {
    const writer = open();
    const out = directory.file('out');
    const reader = directory.script('r', `while read -r l; do echo "$1 $l" >> ${out}; done < "$2"`);
    const { script, ended } = start([reader, 'x']);
    writer.write(line(0));
    writer.write(line(1));
    await waitFor('both lines', () => directory.lines('out').length === 2);
    expect(directory.lines('out')).toEqual([
      'x INSTANCE "web" MASTER 0',
      'x INSTANCE "web" BACKUP 1',
    ]);
    writer.close();
    await script.stop();
    expect(ended).toEqual([]);
  });

  test('is started again when it ends', async () => {
    open();
    const reader = directory.script(
      'r',
      `echo run >> ${directory.file('out')}; echo sorry; exit 4`,
    );
    const { script, ended } = start([reader]);
    await waitFor('a second run', () => directory.lines('out').length === 2);
    await waitFor('its end', () => ended.length > 0);
    expect(ended[0]).toBe(`${reader} ended with exit status 4 and is started again: sorry`);
    await script.stop();
  });

  test('is ended when it ignores the FIFO’s end', async () => {
    open();
    const pid = directory.file('pid');
    const reader = directory.script(
      'r',
      `trap '' TERM; echo $$ > ${pid}; while :; do sleep 1; done`,
    );
    const { script } = start([reader]);
    await waitFor('its start', () => directory.lines('pid').length === 1);
    await script.stop();
    const found = spawn('kill', ['-0', directory.lines('pid')[0] as string]);
    const status = await new Promise((resolve) => found.once('exit', resolve));
    expect(status).not.toBe(0);
  });

  test('that is missing is a problem', async () => {
    const { script } = start([directory.file('none')]);
    await waitFor('the problem', () => problems.length > 0);
    expect(problems[0]?.code).toBe('VK-SCRIPT');
    await script.stop();
  });
});
