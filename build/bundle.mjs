#!/usr/bin/env node
/**
 * Second half of `npm run build`: makes of the compiled modules what an installation runs, in
 * dist/start. Each of the processes of `vipkeeper run` becomes one file, because loading some
 * hundred small ones takes Node four times as long; the launcher `vipkeeper` starts the keeper
 * with its flags at once, and `cleanup` alike. All other commands run as compiled.
 *
 * Plain JavaScript, because it is part of the build.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { codeFile, codeOf, keyOf, loaderOf, replaceDirectory } from './start-files.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiled = join(root, 'dist', 'src');
const installed = join(root, 'dist', 'start');
/** Made aside: a director may run from what is installed, and a build may fail. */
const target = join(root, 'dist', 'start.next');

const { CONTROLLER_NODE_FLAGS, KEEPER_NODE_FLAGS, READER_NODE_FLAGS } = await import(
  join(compiled, 'core', 'processes.js')
);

/** In place of koffi's own loader; its version is that of the addon. */
const KOFFI = join(root, 'build', 'koffi.cjs');
const koffiVersion = JSON.parse(
  readFileSync(join(root, 'node_modules', 'koffi', 'package.json'), 'utf8'),
).version;

/**
 * yaml as modules without Node's own: the bundle gets the parts that are used, and none of them
 * waits for node:buffer, which takes as long to load as a usual file to parse.
 */
const YAML = join(root, 'node_modules', 'yaml', 'browser', 'dist', 'index.js');
/** In its place where it is loaded when it is needed. */
const YAML_LATER = join(root, 'build', 'yaml.mjs');

/** The processes of a director, what is taken as yaml, and Node's flags. */
const ENTRIES = [
  // Apart, since what they had in common would be files of its own, and each takes half a
  // millisecond to be found and opened.
  { inputs: ['run-main.js', 'keeper-main.js'], flags: KEEPER_NODE_FLAGS },
  { inputs: ['cleanup-main.js'], flags: KEEPER_NODE_FLAGS },
  { inputs: ['controller-main.js'], flags: CONTROLLER_NODE_FLAGS },
  { inputs: ['controller/check-worker.js'], flags: CONTROLLER_NODE_FLAGS },
  // Only ever used whole, and soon done with: nobody sees its lines in a stack trace.
  {
    inputs: ['controller/first-plan.js'],
    yaml: YAML_LATER,
    flags: KEEPER_NODE_FLAGS,
    minify: true,
    used: ['firstPlan', { config: join(root, 'conf', 'minimal.yaml'), director: 'dir-a' }],
  },
  {
    inputs: [YAML],
    name: 'yaml.js',
    flags: KEEPER_NODE_FLAGS,
    minify: true,
    used: ['parseDocument', readFileSync(join(root, 'conf', 'minimal.yaml'), 'utf8')],
  },
  { inputs: ['controller/config-worker.js'], yaml: YAML, flags: READER_NODE_FLAGS },
];

/** Hash of everything that the processes run, with the versions of npm packages. */
function buildIdentity() {
  const hash = createHash('sha256');
  const files = readdirSync(compiled, { recursive: true, encoding: 'utf8' }).sort();
  for (const file of files.filter((name) => name.endsWith('.js'))) {
    hash.update(`${file}\0`).update(readFileSync(join(compiled, file)));
  }
  return hash.update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
}

async function bundle(entry, build) {
  const { inputs, yaml = null, flags } = entry;
  const { name = '[name].js', minify = 'dce-only', used = null } = entry;
  const external = (id, importer) => {
    if (id === 'koffi') return importer === KOFFI;
    if (id === 'yaml') return yaml === null;
    return !(id.startsWith('.') || id.startsWith('/'));
  };
  const bundled = await rolldown({
    input: inputs.map((input) => resolve(compiled, input)),
    platform: 'node',
    external,
    // A module is imported for what it exports; one of which nothing is used is left out.
    treeshake: { moduleSideEffects: false },
    resolve: { alias: yaml === null ? {} : { yaml } },
    plugins: [
      {
        name: 'koffi',
        resolveId: (id, importer) => (id === 'koffi' && importer !== KOFFI ? KOFFI : null),
      },
    ],
    transform: {
      define: {
        VIPKEEPER_BUILD: JSON.stringify(build),
        KOFFI_VERSION: JSON.stringify(koffiVersion),
      },
    },
    onLog: (level, log) => {
      if (level === 'warn') throw new Error(`${inputs}: ${log.message}`);
    },
  });
  const { output } = await bundled.write({
    dir: target,
    format: 'cjs',
    entryFileNames: name,
    chunkFileNames: '[name]-[hash].js',
    comments: false,
    minify,
  });
  await bundled.close();
  compile(
    output.map(({ fileName }) => fileName),
    flags,
    used === null ? [] : ['--used', used[0], '--with', JSON.stringify(used[1])],
  );
}

/** Makes of each file its code, what V8 compiles of it under these flags, and what loads both. */
function compile(names, flags, options) {
  for (const name of names) {
    const text = codeOf(readFileSync(join(target, name), 'utf8'));
    writeFileSync(join(target, codeFile(name)), text);
    writeFileSync(join(target, name), loaderOf(keyOf(text)));
  }
  const maker = join(root, 'build', 'code-cache.mjs');
  const words = ['--as', installed, ...options, target, ...names];
  execFileSync(process.execPath, [...flags, maker, ...words], { stdio: 'inherit' });
}

/** As linux/scheduling.ts starts a keeper after another one's death. */
const REALTIME = 'chrt --reset-on-fork --rr 1';

/**
 * `run` begins as the keeper; Node must not read certificates that nobody asks for. `cleanup` goes
 * before all ordinary processes where that is allowed: until it is done, a peer may be active too.
 */
function launcher(flags) {
  return `#!/bin/sh
# vipkeeper's command. \`run\` becomes the keeper at once, with the flags that Node takes at its
# start only; certificates for Node's own TLS would make that start three times as long.
self=$0
if [ -L "$self" ]; then self=$(readlink -f "$self"); fi
here=\${self%/*}
if [ "$1" = run ]; then
  unset NODE_EXTRA_CA_CERTS
  exec node ${flags.join(' ')} "$here/run-main.js" "$@"
fi
if [ "$1" = cleanup ]; then
  unset NODE_EXTRA_CA_CERTS
  set -- node ${flags.join(' ')} "$here/cleanup-main.js" "$@"
  if ${REALTIME} true 2>/dev/null; then exec ${REALTIME} "$@"; fi
  exec "$@"
fi
exec node "$here/../src/main.js" "$@"
`;
}

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
const build = buildIdentity();
for (const entry of ENTRIES) await bundle(entry, build);
writeFileSync(join(target, 'package.json'), '{ "type": "commonjs" }\n');
writeFileSync(join(target, 'vipkeeper'), launcher(KEEPER_NODE_FLAGS));
chmodSync(join(target, 'vipkeeper'), 0o755);
replaceDirectory(installed, target);
