/**
 * Runs in a real server's namespace, `node bad-servers.js '{"3000":"a byte a minute"}' 203.0.113.9#5300`:
 * servers that misbehave, by port, on all addresses; and one for DNS whose answers are a loop.
 * Prints "listening" when they do.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { BAD_BEHAVIOUR, type BadBehaviour, dnsLoopAnswer } from '../lab/bad-behaviour.ts';

const [behaviours = '{}', dnsPlace = ''] = process.argv.slice(2);
const byPort = JSON.parse(behaviours) as Readonly<Record<string, BadBehaviour>>;
for (const [port, behaviour] of Object.entries(byPort)) {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    BAD_BEHAVIOUR[behaviour](socket.resume());
  });
  server.listen(Number(port), '::');
  await once(server, 'listening');
}
const [address = '', port = ''] = dnsPlace.split('#');
const names = createSocket('udp4');
names.on('message', (query, from) => {
  names.send(dnsLoopAnswer(query), from.port, from.address);
});
names.bind(Number(port), address);
await once(names, 'listening');
process.stdout.write('listening\n');
