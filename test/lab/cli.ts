/**
 * The lab's command line, `npm run lab -- …`: commands on the VM's kernel, topologies to try
 * things in, and removal of what dead labs left. Progress and advice go to standard error; the
 * exit code is that of the command that was asked for, 1 for the lab's own failures, 2 for usage.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { type Child, LabError, labProgram, localMachine, type Machine } from './host.ts';
import { ensurePackages, NETWORK_PACKAGES } from './packages.ts';
import { canUseNamespaces, ipvsMachine } from './requirements.ts';
import { type LabNode, removeDeadLabs, Topology, virtualIp } from './topology.ts';
import { removeDeadVmDirectories, Vm } from './vm.ts';

const HELP = `Usage: npm run lab -- COMMAND

  vm [--share DIR] [--console] -- COMMAND ...
        Runs a command as root on a Debian kernel with IPVS, in a virtual machine that sees this
        machine's files. It may write to this repository and to shared directories; other writes
        are lost with it. Without KVM or root; the first time it downloads a kernel (100 MB).

  up [--directors N] [--real-servers N] [--clients N] [--sync] [--real-servers-on-front]
        Builds directors, real servers (with an HTTP server each) and clients, and keeps them
        until Ctrl-C or "quit". Reads commands: "director1 ipvsadm -Ln", "cut director1 front",
        "join director1 front", "kill director1". Uses this machine if its kernel has IPVS, else
        the virtual machine; VIPKEEPER_LAB_MACHINE=local or =vm decides.

  down  Removes what labs on this machine left when they were killed: namespaces and files.

Environment: VIPKEEPER_LAB_ACCEL (QEMU's -accel, default tcg), VIPKEEPER_LAB_CACHE (where the
kernel is kept, default .cache/lab), VIPKEEPER_LAB_MACHINE.
`;

class UsageError extends Error {}

const progress = (line: string) => void process.stderr.write(`lab: ${line}\n`);

async function vmCommand(argv: readonly string[]): Promise<number> {
  const split = argv.indexOf('--');
  const command = split < 0 ? [] : argv.slice(split + 1);
  if (command.length === 0) throw new UsageError('vm needs "--" and a command');
  const { values } = parseArgs({
    args: argv.slice(0, split),
    options: { share: { type: 'string', multiple: true }, console: { type: 'boolean' } },
  });
  const vm = await Vm.start({
    shares: values.share ?? [],
    onProgress: progress,
    ...(values.console ? { onConsole: (text: string) => process.stderr.write(text) } : {}),
  });
  try {
    const child = await vm.spawn(command, {
      cwd: process.cwd(),
      onStdout: (chunk) => process.stdout.write(chunk),
      onStderr: (chunk) => process.stderr.write(chunk),
    });
    forwardInput(child);
    return await child.exited;
  } finally {
    await vm.stop();
  }
}

function forwardInput(child: Child): void {
  // A terminal without a line typed must not hold the command's standard input open for ever in
  // scripts, nor close it for people: only end of file ends it.
  process.stdin.on('data', (chunk: Buffer) => child.write(chunk));
  process.stdin.on('end', () => child.end());
}

function count(text: string | undefined, name: string): Record<string, number> {
  if (text === undefined) return {};
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name} is "${text}"`);
  return { [name === 'real-servers' ? 'realServers' : name]: value };
}

async function upCommand(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      directors: { type: 'string' },
      'real-servers': { type: 'string' },
      clients: { type: 'string' },
      sync: { type: 'boolean', default: false },
      'real-servers-on-front': { type: 'boolean', default: false },
    },
  });
  const options = {
    ...count(values.directors, 'directors'),
    ...count(values['real-servers'], 'real-servers'),
    ...count(values.clients, 'clients'),
    sync: values.sync,
    realServersOnFront: values['real-servers-on-front'],
  };
  const httpServer = labProgram('http-server');
  await ensurePackages(NETWORK_PACKAGES, { onProgress: progress });
  const { machine, stop } = await ipvsMachine(progress);
  try {
    const topology = await Topology.create(machine, options);
    for (const node of topology.realServers) {
      await node.spawn(['node', httpServer, '--name', node.name], {
        onStderr: (chunk) => process.stderr.write(`${node.name}: ${chunk.toString()}`),
      });
    }
    process.stdout.write(describe(topology, machine));
    await prompt(topology);
    await topology.dispose();
  } finally {
    await stop();
  }
  return 0;
}

function describe(topology: Topology, machine: Machine): string {
  const lines = [`${topology.prefix} is up on ${machine.name}`, ''];
  for (const node of topology.nodes) {
    for (const { name, lan, ipv4, ipv6 } of node.interfaces) {
      const where = `${name} (${lan.name})`.padEnd(14);
      lines.push(`  ${node.name.padEnd(10)} ${where} ${ipv4.padEnd(16)} ${ipv6}`);
    }
  }
  lines.push('', `  free for virtual IPs: ${virtualIp(1).ipv4} to ${virtualIp(50).ipv4}`);
  if (machine === localMachine) {
    const [first] = topology.nodes;
    lines.push(`  enter a node: ip netns exec ${first?.namespace ?? topology.prefix} bash`);
  }
  lines.push('  or type: NODE COMMAND ... | cut NODE LAN | join NODE LAN | kill NODE | quit', '');
  return `${lines.join('\n')}\n`;
}

/** Until "quit", Ctrl-C or, on a terminal, Ctrl-D. */
async function prompt(topology: Topology): Promise<void> {
  const terminal = process.stdin.isTTY === true;
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal });
  lines.setPrompt('lab> ');
  lines.on('SIGINT', () => lines.close());
  if (terminal) lines.prompt();
  for await (const line of lines) {
    if (line.trim() === 'quit') return lines.close();
    try {
      await promptLine(topology, line.trim());
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      progress(error.message);
    }
    if (terminal) lines.prompt();
  }
  if (terminal) return;
  // Input from a file or nowhere has ended; the lab stays until a signal, whose clean-up
  // (cleanup.ts) ends this process.
  await new Promise(() => setInterval(() => {}, 60_000));
}

async function promptLine(topology: Topology, line: string): Promise<void> {
  if (line === '') return;
  const [verb = '', name = '', lan = ''] = line.split(/\s+/);
  const find = (wanted: string): LabNode => {
    const node = topology.nodes.find((candidate) => candidate.name === wanted);
    if (node !== undefined) return node;
    const names = topology.nodes.map((candidate) => candidate.name).join(', ');
    throw new LabError(`No node "${wanted}": there are ${names}`);
  };
  if (verb === 'kill') return find(name).kill();
  if (verb === 'cut' || verb === 'join') {
    if (lan !== 'front' && lan !== 'back' && lan !== 'sync') {
      throw new LabError(`No LAN "${lan}": there are front, back and sync`);
    }
    return verb === 'cut' ? find(name).linkDown(lan) : find(name).linkUp(lan);
  }
  const result = await find(verb).run(['sh', '-c', line.slice(verb.length)], {
    onStdout: (text) => process.stdout.write(text),
    onStderr: (text) => process.stderr.write(text),
  });
  if (result.code !== 0) progress(`exit code ${result.code}`);
}

async function downCommand(): Promise<number> {
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  const removed = [...(await removeDeadLabs()), ...removeDeadVmDirectories()];
  for (const name of removed) process.stdout.write(`removed ${name}\n`);
  if (removed.length === 0) process.stdout.write('nothing left by dead labs\n');
  return 0;
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command === undefined || command === '--help' || command === 'help') {
    process.stdout.write(HELP);
    return command === undefined ? 2 : 0;
  }
  if (command === 'vm') return vmCommand(rest);
  if (command === 'up') return upCommand(rest);
  if (command === 'down') return downCommand();
  throw new UsageError(`No command "${command}"`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const usage = error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS');
  if (!usage && !(error instanceof LabError)) throw error;
  progress((error as Error).message);
  if (usage) progress('see npm run lab -- --help');
  process.exitCode = usage ? 2 : 1;
}
// Standard input may still be open, which would keep the process.
process.stdin.destroy();
