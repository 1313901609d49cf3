/**
 * Vm: a Debian kernel with IPVS, booted in QEMU without KVM in a few seconds, that sees the
 * host's file system and so runs the host's node, ipvsadm, keepalived and this checkout.
 *
 *   host                                     guest
 *   Vm ── unix socket ── virtio serial ───── guest-agent.mjs ── commands
 *   /            ── 9p, read-only ────────── overlay with a tmpfs above: writes stay inside
 *   repository   ── 9p, writable ─────────── the same path
 *
 * Invariants: no network between guest and host; QEMU ends with stop(), with this process
 * (parent-death signal) and when the agent loses its host; every error has the console's tail.
 */
import { type ChildProcess, spawn as spawnProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onProcessEnd } from './cleanup.ts';
import {
  type Child,
  DEFAULT_TIMEOUT_MS,
  LabError,
  type Machine,
  REPOSITORY,
  type RunOptions,
  type RunResult,
  runWith,
  type SpawnOptions,
} from './host.ts';
import { ensureKernelImage, type KernelImage } from './kernel-image.ts';
import { ensurePackages, type Progress, VM_PACKAGES } from './packages.ts';

export interface VmOptions {
  /** Default 2048. */
  readonly memoryMiB?: number;
  /** Default 2. */
  readonly processors?: number;
  /**
   * What benchmarks compare on: a processor with all that the emulator knows, and the kernel's own
   * settings. Otherwise the guest does without what costs the host most: what speeds up real
   * memory (rep stosb, huge pages) is emulated byte by byte.
   */
  readonly whole?: boolean;
  /**
   * The guest's clock counts the instructions of its one processor, a nanosecond each, and skips
   * what it would wait: CPU time is a count that no other work on the host changes.
   */
  readonly countsInstructions?: boolean;
  /** Host directories that the guest may write to, at the same path, beside the repository. */
  readonly shares?: readonly string[];
  /** Behind those of the lab on the kernel's command line. */
  readonly kernelArguments?: string;
  /** Told about installation and download on first use. */
  readonly onProgress?: Progress;
  /** Kernel messages and whatever else appears on the guest's console. */
  readonly onConsole?: (text: string) => void;
}

/** Emulated boots take 3 to 8 s; this is for a machine that is busy with other tests. */
const BOOT_TIMEOUT_MS = 240_000;
/** After the request to power off QEMU needs milliseconds. */
const STOP_TIMEOUT_MS = 5_000;
const CONSOLE_CHARACTERS_MAX = 64 * 1024;
/** One message of the agent carries at most a pipe's worth of output. */
const LINE_CHARACTERS_MAX = 24 * 1024 * 1024;
const STDIN_BYTES_MAX = 16 * 1024 * 1024;

/** Every scheduler and helper: the table programming tests use them all. */
const GUEST_MODULES = [
  ...['ip_vs', 'ip_vs_rr', 'ip_vs_wrr', 'ip_vs_lc', 'ip_vs_wlc', 'ip_vs_lblc', 'ip_vs_lblcr'],
  ...['ip_vs_dh', 'ip_vs_sh', 'ip_vs_sed', 'ip_vs_nq', 'ip_vs_fo', 'ip_vs_ovf', 'ip_vs_mh'],
  ...['ip_vs_twos', 'ip_vs_ftp', 'ip_vs_pe_sip', 'ipip', 'veth', 'dummy', 'bridge', 'macvlan'],
  ...['ipvlan', 'nf_conntrack', 'nf_tables', 'iptable_filter'],
];

/** Of the directory with a guest's socket and boot script, then the pid of its maker. */
const DIRECTORY_PREFIX = 'vipkeeper-lab-';

/** What a kernel that crashed leaves on the console. */
const KERNEL_CRASH = /Call Trace:|Kernel panic/;

/** The launcher finds Node by it, as this process's shell found the one it runs by. */
const PATH = `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

type Answer =
  | { readonly op: 'ready'; readonly release: string; readonly complaints: string }
  | { readonly op: 'started'; readonly id: number; readonly pid: number }
  | { readonly op: 'stdout' | 'stderr'; readonly id: number; readonly data: string }
  | { readonly op: 'exit'; readonly id: number; readonly code: number }
  | { readonly op: 'error'; readonly id: number; readonly message: string };

interface Running {
  readonly options: SpawnOptions;
  started(pid: number): void;
  failed(error: LabError): void;
  exited(code: number): void;
}

export class Vm implements Machine {
  readonly name = 'the lab VM';
  readonly kernelRelease: string;
  readonly #qemu: ChildProcess;
  readonly #socket: Socket;
  readonly #end: VmEnd;
  readonly #running = new Map<number, Running>();
  #lastId = 0;
  #partial = '';

  private constructor(release: string, socket: Socket, qemu: ChildProcess, end: VmEnd) {
    this.kernelRelease = release;
    this.#socket = socket;
    this.#qemu = qemu;
    this.#end = end;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    end.onEnd(() => this.#failAll());
  }

  /**
   * Boots a guest and waits for its agent. Installs packages and fetches the kernel on first
   * use. Throws LabError with the reason and the console's tail.
   *
   * With two emulated processors on a busy machine Debian's kernel now and then crashes while it
   * wakes its first threads, long before anything of ours: then it is booted once more.
   */
  static async start(options: VmOptions = {}): Promise<Vm> {
    const onProgress = options.onProgress ?? (() => {});
    await ensurePackages(VM_PACKAGES, { onProgress });
    const image = await ensureKernelImage(onProgress);
    try {
      return await Vm.#boot(options, image);
    } catch (error) {
      if (!(error instanceof LabError && KERNEL_CRASH.test(error.message))) throw error;
      onProgress('The kernel of the guest crashed at its boot: once more');
      return await Vm.#boot(options, image);
    }
  }

  static async #boot(options: VmOptions, image: KernelImage): Promise<Vm> {
    const directory = mkdtempSync(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
    if (/[\s,]/.test(directory)) throw new LabError(`TMPDIR must be plain, not "${directory}"`);
    const shares = [REPOSITORY, ...(options.shares ?? [])];
    writeFileSync(join(directory, 'boot.sh'), bootScript(image, shares));
    const socketPath = join(directory, 'agent.sock');
    const server = createServer();
    server.listen(socketPath);
    const console = new Console(options.onConsole);
    const qemu = startQemu(qemuArguments(options, image, directory, shares), console);
    const forget = onProcessEnd(() => {
      qemu.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    });
    const end = new VmEnd(qemu, console, () => {
      forget();
      rmSync(directory, { recursive: true, force: true });
    });
    try {
      const { socket, release } = await agentReady(server, end);
      return new Vm(release, socket, qemu, end);
    } catch (error) {
      qemu.kill('SIGKILL');
      await end.promise;
      throw error;
    } finally {
      server.close();
    }
  }

  /** Process id of QEMU on the host. */
  get pid(): number {
    return this.#qemu.pid as number;
  }

  /** The tail of what the guest's kernel and boot script printed. */
  get console(): string {
    return this.#end.console.tail();
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runWith(this, argv, options);
  }

  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<Child> {
    if (argv[0] === undefined) throw new LabError('An empty command cannot run');
    if (this.#end.ended) throw this.#end.error();
    this.#lastId += 1;
    const id = this.#lastId;
    let exit: (code: number) => void = () => {};
    let fail: (error: LabError) => void = () => {};
    const exited = new Promise<number>((resolve, reject) => {
      exit = resolve;
      fail = reject;
    });
    // Whoever waits for the exit gets the rejection; nobody has to wait.
    exited.catch(() => {});
    const pid = await new Promise<number>((resolve, reject) => {
      this.#running.set(id, {
        options,
        started: resolve,
        exited: exit,
        failed: (error) => {
          reject(error);
          fail(error);
        },
      });
      const cwd = options.cwd ?? REPOSITORY;
      this.#send({ op: 'spawn', id, argv, cwd, env: options.env ?? {} });
    });
    return {
      pid,
      exited,
      write: (data) => {
        const bytes = Buffer.from(data as Uint8Array);
        if (bytes.length > STDIN_BYTES_MAX) throw new LabError('Too much input for one command');
        this.#send({ op: 'stdin', id, data: bytes.toString('base64') });
      },
      end: () => this.#send({ op: 'end', id }),
      kill: (signal = 'SIGTERM') => this.#send({ op: 'kill', id, signal }),
    };
  }

  /** By the agent itself: a shell and what it needs for it cost the emulator half a second. */
  async writeFile(path: string, content: string | Uint8Array): Promise<void> {
    if (this.#end.ended) throw this.#end.error();
    const bytes = Buffer.from(content as Uint8Array);
    if (bytes.length > STDIN_BYTES_MAX) throw new LabError(`Too much for ${path}`);
    this.#lastId += 1;
    const id = this.#lastId;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#running.set(id, {
          options: {},
          started: () => {},
          exited: () => resolve(),
          failed: reject,
        });
        const late = new LabError(`${path} was not written within ${DEFAULT_TIMEOUT_MS} ms`);
        timer = setTimeout(() => reject(late), DEFAULT_TIMEOUT_MS);
        this.#send({ op: 'write', id, path, data: bytes.toString('base64') });
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the guest and waits for QEMU's end. May be called again. */
  async stop(): Promise<void> {
    this.#end.expected = true;
    // The agent ends with its host's end of the line, and the guest powers off with the agent,
    // which also writes cached file data back to the repository.
    this.#socket.destroy();
    const timer = setTimeout(() => this.#qemu.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#end.promise;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #send(message: object): void {
    if (!this.#end.ended) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    if (this.#partial.length > LINE_CHARACTERS_MAX) {
      this.#end.expected = false;
      this.#qemu.kill('SIGKILL');
      return;
    }
    for (const line of lines) {
      const json = Buffer.from(line, 'latin1').toString('utf8');
      this.#handle(JSON.parse(json) as Answer);
    }
  }

  #handle(answer: Answer): void {
    if (answer.op === 'ready') return;
    const running = this.#running.get(answer.id);
    if (running === undefined) return;
    if (answer.op === 'started') running.started(answer.pid);
    if (answer.op === 'stdout') running.options.onStdout?.(Buffer.from(answer.data, 'base64'));
    if (answer.op === 'stderr') running.options.onStderr?.(Buffer.from(answer.data, 'base64'));
    if (answer.op === 'exit') {
      this.#running.delete(answer.id);
      running.exited(answer.code);
    }
    if (answer.op === 'error') {
      this.#running.delete(answer.id);
      running.failed(new LabError(`Cannot run in the lab VM: ${answer.message}`));
    }
  }

  #failAll(): void {
    for (const running of this.#running.values()) running.failed(this.#end.error());
    this.#running.clear();
  }
}

/** Removes the directories of guests whose process got SIGKILL; returns their paths. */
export function removeDeadVmDirectories(): string[] {
  const dead = readdirSync(tmpdir()).filter((name) => {
    const owner = name.startsWith(DIRECTORY_PREFIX) && /-(\d+)-\w+$/.exec(name)?.[1];
    return owner && !existsSync(`/proc/${owner}`);
  });
  const paths = dead.map((name) => join(tmpdir(), name));
  for (const path of paths) rmSync(path, { recursive: true, force: true });
  return paths;
}

/** The guest's end, awaited from several places, with the words for it. */
class VmEnd {
  readonly promise: Promise<void>;
  readonly console: Console;
  ended = false;
  /** True when stop() asked for it. */
  expected = false;
  #how = '';

  constructor(qemu: ChildProcess, console: Console, onEnd: () => void) {
    this.console = console;
    this.promise = new Promise((resolve) => {
      const finish = (how: string) => {
        if (this.ended) return;
        this.ended = true;
        this.#how = how;
        onEnd();
        resolve();
      };
      qemu.once('error', (error) => finish(`QEMU cannot run: ${error.message}`));
      qemu.once('close', (code, signal) => finish(`QEMU ended with ${signal ?? code}`));
    });
  }

  onEnd(action: () => void): void {
    void this.promise.then(action);
  }

  error(): LabError {
    if (this.expected) return new LabError('The lab VM was stopped');
    return new LabError(`The lab VM died (${this.#how}); its console:\n${this.console.tail()}`);
  }
}

class Console {
  readonly #onText: ((text: string) => void) | undefined;
  #text = '';

  constructor(onText: ((text: string) => void) | undefined) {
    this.#onText = onText;
  }

  add(chunk: Buffer): void {
    const text = chunk.toString('latin1').replaceAll('\r', '');
    this.#text = (this.#text + text).slice(-CONSOLE_CHARACTERS_MAX);
    this.#onText?.(text);
  }

  tail(): string {
    return this.#text.trim().split('\n').slice(-40).join('\n');
  }
}

function startQemu(argv: readonly string[], console: Console): ChildProcess {
  // setpriv (util-linux, always there) makes the kernel end QEMU even when this process gets
  // SIGKILL; it becomes QEMU by exec, so the pid stays. A group of its own keeps the terminal's
  // Ctrl-C away, which the clean-up handles.
  const command = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...argv];
  const qemu = spawnProcess('setpriv', command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  qemu.stdout.on('data', (chunk: Buffer) => console.add(chunk));
  qemu.stderr.on('data', (chunk: Buffer) => console.add(chunk));
  return qemu;
}

function qemuArguments(
  options: VmOptions,
  image: KernelImage,
  directory: string,
  shares: readonly string[],
): string[] {
  const counts = options.countsInstructions === true;
  const threads = process.env.VIPKEEPER_LAB_ACCEL || 'tcg,thread=multi,tb-size=512';
  const accelerator = counts ? 'tcg,thread=single,tb-size=512' : threads;
  const processors = counts ? 1 : (options.processors ?? 2);
  const whole = options.whole === true;
  const append =
    'console=ttyS0 quiet panic=-1 oops=panic mitigations=off random.trust_cpu=on ' +
    // A processor that waits for its turn on a busy machine misses ticks, and no timer is broken.
    'no_timer_check ' +
    `nokaslr ${whole ? '' : 'transparent_hugepage=never init_on_alloc=0 '}` +
    `lab.boot=${join(directory, 'boot.sh')} ${options.kernelArguments ?? ''}`;
  // QEMU reads a comma as the end of a value and a doubled one as a comma.
  const quoted = (path: string) => path.replaceAll(',', ',,');
  const share = (tag: string, path: string, more: string) => [
    '-virtfs',
    `local,path=${quoted(path)},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ...['-machine', 'q35', '-accel', accelerator, '-cpu', whole ? 'max' : 'max,-erms'],
    ...['-m', `${options.memoryMiB ?? 2048}M`, '-smp', `${processors}`],
    ...(counts ? ['-icount', 'shift=0,sleep=off'] : []),
    ...['-rtc', `base=utc,clock=${counts ? 'vm' : 'host'}`],
    ...['-kernel', image.kernelPath, '-initrd', image.initramfsPath, '-append', append],
    ...['-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=agent,name=agent'],
    ...['-chardev', `socket,id=agent,path=${quoted(join(directory, 'agent.sock'))}`],
    ...share('root', '/', ',readonly=on'),
    ...shares.flatMap((path, index) => share(`share${index}`, path, '')),
  ];
}

/** Runs in the initramfs with the host's root at /host; ends as the guest's first process. */
function bootScript(image: KernelImage, shares: readonly string[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const mount9p = 'mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose';
  const mountShare = (path: string, index: number) =>
    `mkdir -p /newroot${quote(path)}; ${mount9p} share${index} /newroot${quote(path)}`;
  const agent = [process.execPath, join(REPOSITORY, 'test', 'lab', 'guest-agent.mjs')];
  const modules = `modprobe -a ${GUEST_MODULES.join(' ')} 2>&1 || echo "modprobe failed"`;
  // The modules load while Node starts; the agent is ready when its standard input ends.
  const serve = `(${modules}) | ${agent.map(quote).join(' ')} "$1"`;
  const first = `ulimit -n 65536; cd /; ${serve}; poweroff -f`;
  return `
mount -t tmpfs tmpfs /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/files,workdir=/upper/work overlay /newroot
modules=/newroot/lib/modules/${image.release}
mkdir -p "$modules"
mount --bind /host${quote(image.modulesPath)} "$modules"
for directory in tmp run var/tmp var/log; do
  mount -t tmpfs -o mode=1777 tmpfs /newroot/$directory
done
mkdir -p /newroot/run/lock
${shares.map(mountShare).join('\n')}
for directory in proc sys dev; do mount --move /$directory /newroot/$directory; done
export PATH=${quote(PATH)}:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
cd /newroot/dev
ln -sfn /proc/self/fd fd; ln -sfn fd/0 stdin; ln -sfn fd/1 stdout; ln -sfn fd/2 stderr
mkdir -p pts shm; mount -t devpts devpts pts; mount -t tmpfs -o mode=1777 tmpfs shm
hostname vipkeeper-lab
ip link set lo up
for port in /newroot/dev/vport*; do port=\${port#/newroot}; done
exec switch_root /newroot /bin/sh -c ${quote(first)} sh "$port"
`;
}

async function agentReady(
  server: Server,
  end: VmEnd,
): Promise<{ readonly socket: Socket; readonly release: string }> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const tail = end.console.tail();
      reject(new LabError(`The lab VM did not boot within ${BOOT_TIMEOUT_MS} ms:\n${tail}`));
    }, BOOT_TIMEOUT_MS);
    end.onEnd(() => reject(end.error()));
  });
  // When the boot succeeds the guest's end rejects a promise that nobody awaits any more.
  deadline.catch(() => {});
  const ready = new Promise<{ socket: Socket; release: string }>((resolve) => {
    server.once('connection', (socket: Socket) => {
      let text = '';
      const listen = (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (!text.includes('\n')) return;
        socket.off('data', listen);
        const ready = JSON.parse(text) as Answer & { readonly op: 'ready' };
        if (ready.complaints !== '') end.console.add(Buffer.from(ready.complaints));
        resolve({ socket, release: ready.release });
      };
      socket.on('data', listen);
      // The guest's death shows as QEMU's end, which has better words.
      socket.on('error', () => {});
    });
  });
  try {
    return await Promise.race([ready, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
