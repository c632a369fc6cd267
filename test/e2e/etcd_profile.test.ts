/** Tidegate in front of etcd with the profile of etcd's own gateway: the same requests to both, and the same answers. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Served, serveTidegate } from './etcd/command.js';
import { ask, summary } from './etcd/compare.js';
import { LIKE_GRPC_GATEWAY_V1, PUBLIC_METHODS, told } from './etcd/profile.js';
import { NULL_IN_A_LIST, type PairedRequest, REQUESTS, TWO_OF_A_ONEOF } from './etcd/requests.js';
import { ETCD_CONTRACT, type Etcd, missingParts, startEtcd } from './etcd/server.js';

const { proto, includes } = ETCD_CONTRACT;
const contract = ['--proto', proto, ...includes.flatMap((folder) => ['--include', folder])];

test('docs/etcd.md shows the configuration that is compared', () => {
  const page = readFileSync(new URL('../../docs/etcd.md', import.meta.url), 'utf8');
  const [config, methods] = [...page.matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].map(([, yaml]) =>
    parse(yaml ?? ''),
  );
  expect(config).toEqual(parse(LIKE_GRPC_GATEWAY_V1));
  expect(methods).toEqual(parse(PUBLIC_METHODS));
});

describe.skipIf(missingParts().length > 0)('etcd under the profile of grpc-gateway', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-profile-'));
  /** Asked through its own gateway. */
  let other: Etcd;
  /** Asked through Tidegate. */
  let etcd: Etcd;
  let served: Served;

  beforeAll(async () => {
    const file = join(folder, 'tidegate.yaml');
    writeFileSync(file, LIKE_GRPC_GATEWAY_V1);
    writeFileSync(join(folder, 'public.yaml'), PUBLIC_METHODS);
    [other, etcd] = await Promise.all([startEtcd(), startEtcd()]);
    served = await serveTidegate(['--config', file, ...contract, '--upstream', etcd.address]);
  });
  afterAll(async () => {
    await Promise.all([served?.stop(), etcd?.stop(), other?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  /** Both answer; nobody has a token. */
  const both = (request: PairedRequest) =>
    Promise.all([ask(other.address, request), ask(served.address, request)]);

  describe('answers as its own gateway does, to good requests and bad:', () => {
    for (const request of REQUESTS) {
      test(request.name, async () => {
        const [theirs, ours] = await both(request);
        expect(told(ours, theirs, request), `${summary(theirs)} / ${summary(ours)}`).toEqual(
          told(theirs, ours, request),
        );
      });
    }
  });

  test('null among messages: the handler of its own gateway panics and cuts the connection, ours answers 400', async () => {
    const [theirs, ours] = await both(NULL_IN_A_LIST);
    expect(theirs.status).toBe('cut');
    expect(summary(ours)).toBe('400 3: body /success/0: null is no element of a list');
    const [theirNext, ourNext] = await both({ name: 'next', path: '/v3/lease/leases', body: {} });
    expect([theirNext.status, ourNext.status], 'neither process has ended').toEqual([200, 200]);
  });

  test('two members of a oneof: its own gateway takes one by chance, ours the last', async () => {
    const taken = async (address: string): Promise<string[]> => {
      const { body } = await ask(address, { name: 'txn', path: '/v3/kv/txn', body: TWO_OF_A_ONEOF });
      return Object.keys((body as { responses: [object] }).responses[0]);
    };
    const both = ['response_delete_range', 'response_range'];
    const theirs = new Set<string>();
    // About one of four falls to the rarer one: a hundred without it are one case of 10^12.
    for (let asked = 0; asked < 100 && theirs.size < 2; asked++) {
      for (const key of await taken(other.address)) theirs.add(key);
    }
    expect([...theirs].sort()).toEqual(both);
    for (let asked = 0; asked < 20; asked++) {
      expect(await taken(served.address)).toEqual(['response_delete_range']);
    }
  });

  describe('a stream', () => {
    const lines = async (address: string, path: string, body: object): Promise<unknown> => {
      const response = await fetch(`http://${address}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const text = await response.text();
      const type = response.headers.get('content-type');
      return {
        status: response.status,
        type,
        lines: text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line)),
      };
    };

    test('has the same lines and the same head: a lease that is kept alive, asked for once', async () => {
      const asked = ['/v3/lease/keepalive', { ID: '404' }] as const;
      const [theirs, ours] = await Promise.all([
        lines(other.address, ...asked),
        lines(served.address, ...asked),
      ]);
      expect(ours).toEqual(theirs);
      expect(theirs).toMatchObject({ lines: [{ result: { ID: '404' } }] });
    });
  });
});
