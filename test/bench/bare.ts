/** The yardstick: bare node:http that answers the bytes a REST call answers. Prints its port. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { benchJson } from './order.js';

const body = Buffer.from(benchJson());
const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.on('SIGTERM', () => process.exit(0));
