/**
 * Runs inside the lab VM: a real server that says how it was reached. Started in its namespace
 * with `node traffic-server.js --name real1 --tcp 1000,2000 --udp 192.0.2.211#1000,...`.
 *
 * TCP: each connection gets the line "NAME ADDRESS#PORT", the address and port that its client spoke
 * to, as this host saw it, and stays open until the client ends it. UDP: each datagram is answered
 * with the same from the address it came to, which is why every address has a socket of its own.
 * Prints "listening" when it is.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: '' },
    /** Ports, on all addresses. */
    tcp: { type: 'string', default: '' },
    /** ADDRESS#PORT. */
    udp: { type: 'string', default: '' },
  },
});
const listOf = (text: string): string[] => text.split(',').filter((item) => item !== '');
const plain = (address: string): string => address.replace(/^::ffff:/, '');

for (const port of listOf(values.tcp)) {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    const { localAddress = '', localPort } = socket;
    socket.write(`${values.name} ${plain(localAddress)}#${localPort}\n`);
    socket.resume();
  });
  server.listen(Number(port), '::');
  await once(server, 'listening');
}
for (const place of listOf(values.udp)) {
  const [address = '', port = ''] = place.split('#');
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (_message, from) => {
    socket.send(`${values.name} ${place}`, from.port, from.address);
  });
  socket.bind(Number(port), address);
  await once(socket, 'listening');
}
process.stdout.write('listening\n');
