/** `node check.js HOST:PORT`: exits with 0 if the server there says that it is serving. What containers ask for their health. */
import { Client, credentials } from '@grpc/grpc-js';
import { service as health } from 'grpc-health-check';

const TIMEOUT_MS = 2_000;

const address = process.argv[2] ?? '127.0.0.1:50051';
const method = health.Check;
if (method === undefined) throw new Error('grpc-health-check has no method Check');
const client = new Client(address, credentials.createInsecure());
client.makeUnaryRequest(
  method.path,
  method.requestSerialize,
  method.responseDeserialize,
  { service: '' },
  { deadline: Date.now() + TIMEOUT_MS },
  (error, reply) => {
    const answer = (reply as { status?: string } | undefined)?.status;
    if (error !== null || answer !== 'SERVING') {
      console.error(`${address}: ${error?.message ?? answer}`);
      process.exitCode = 1;
    }
    client.close();
  },
);
