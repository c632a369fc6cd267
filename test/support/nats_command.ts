/** One request to the API of JetStream over a connection of its own, as an operator would make it. */
import { connect } from 'node:net';

/** The answer; throws when it is an error. */
export function natsCommand<T = unknown>(port: number, verb: string, body: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const data = JSON.stringify(body);
    const socket = connect(port, '127.0.0.1', () => {
      const request = `PUB $JS.API.${verb} _ ${Buffer.byteLength(data)}\r\n${data}\r\n`;
      socket.write(`CONNECT {"verbose":false}\r\nSUB _ 1\r\n${request}`);
    });
    let seen = Buffer.alloc(0);
    socket.setTimeout(5000, () => socket.destroy(new Error(`${verb}: no answer`)));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${verb}: the connection ended`)));
    socket.on('data', (chunk) => {
      seen = Buffer.concat([seen, chunk]);
      const head = /MSG _ 1 (\d+)\r\n/.exec(seen.toString('latin1'));
      const start = (head?.index ?? 0) + (head?.[0].length ?? 0);
      const end = start + Number(head?.[1]);
      if (!head || seen.length < end) return;
      const answer = JSON.parse(seen.toString('utf8', start, end)) as T & {
        error?: { description: string };
      };
      if (answer.error) reject(new Error(`${verb}: ${answer.error.description}`));
      else resolve(answer);
      socket.destroy();
    });
  });
}

/** The names of all streams. */
export async function natsStreams(port: number): Promise<string[]> {
  const { streams } = await natsCommand<{ streams: string[] | null }>(port, 'STREAM.NAMES');
  return streams ?? [];
}
