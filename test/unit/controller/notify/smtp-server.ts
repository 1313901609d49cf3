/** A tiny SMTP server for tests: takes mails as RFC 5321 says, or answers as it is told to. */
import { createServer, type Server, type Socket } from 'node:net';

export interface ReceivedMail {
  readonly helo: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly data: string;
}

export class SmtpServer {
  readonly mails: ReceivedMail[] = [];
  /** Answers to the next MAIL commands, before it takes one. */
  readonly refusals: string[] = [];
  connections = 0;
  silent = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  listen(port = 0): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(port, '127.0.0.1', () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.silent) return;
    const answer = (text: string): void => void socket.write(`${text}\r\n`);
    let mail = { helo: '', from: '', to: [] as string[], data: '' };
    let buffered = '';
    let inData = false;
    answer('220 test ESMTP');
    socket.on('data', (chunk) => {
      buffered += chunk.toString();
      for (let end = buffered.indexOf('\r\n'); end >= 0; end = buffered.indexOf('\r\n')) {
        const line = buffered.slice(0, end);
        buffered = buffered.slice(end + 2);
        if (inData && line !== '.') mail.data += `${line}\n`;
        else if (inData) {
          inData = false;
          this.mails.push(mail);
          mail = { ...mail, from: '', to: [], data: '' };
          answer('250 taken');
        } else if (/^(EHLO|HELO) /.test(line)) {
          mail.helo = line.slice(5);
          answer('250 test');
        } else if (line.startsWith('MAIL FROM:')) {
          mail.from = line.slice(10);
          answer(this.refusals.shift() ?? '250 ok');
        } else if (line.startsWith('RCPT TO:')) {
          mail.to.push(line.slice(8));
          answer('250 ok');
        } else if (line === 'DATA') {
          inData = true;
          answer('354 go on');
        } else if (line === 'QUIT') {
          answer('221 bye');
          socket.end();
        } else answer('250 ok');
      }
    });
  }
}
