/** One command to Redis over a connection of its own, as an operator would give it. */
import { connect } from 'node:net';

/** The reply as it is on the wire, without its last line end; throws when it is an error. */
export function redisCommand(port: number, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const words = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('');
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`*${args.length}\r\n${words}*1\r\n$4\r\nQUIT\r\n`);
    });
    let reply = '';
    socket.on('data', (chunk) => {
      reply += chunk;
    });
    socket.once('error', reject);
    socket.once('close', () => {
      const answer = reply.replace(/\r\n\+OK\r\n$/, '');
      if (answer.startsWith('-')) reject(new Error(answer));
      else resolve(answer);
    });
  });
}
