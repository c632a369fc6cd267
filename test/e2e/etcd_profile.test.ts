/** Tidegate in front of etcd with the profile of etcd's own gateway: the same requests to both, and the same answers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runTidegate, type Served, serveTidegate } from './etcd/command.js';
import { ask, summary } from './etcd/compare.js';
import { DIFFERENCES } from './etcd/differences.js';
import { LIKE_GRPC_GATEWAY_V1, REMAINING, told } from './etcd/profile.js';
import { REQUESTS } from './etcd/requests.js';
import { ETCD_CONTRACT, type Etcd, missingParts, startEtcd } from './etcd/server.js';

const { proto, includes } = ETCD_CONTRACT;
const contract = ['--proto', proto, ...includes.flatMap((folder) => ['--include', folder])];

describe.skipIf(missingParts().length > 0)('etcd under the profile of grpc-gateway', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-profile-'));
  /** Asked through its own gateway. */
  let other: Etcd;
  /** Asked through Tidegate. */
  let etcd: Etcd;
  let served: Served;
  let token: string;

  beforeAll(async () => {
    const file = join(folder, 'tidegate.yaml');
    writeFileSync(file, LIKE_GRPC_GATEWAY_V1);
    [other, etcd] = await Promise.all([startEtcd(), startEtcd()]);
    served = await serveTidegate(['--config', file, ...contract, '--upstream', etcd.address]);
    const { out } = await runTidegate(['token', '--sub', 'root', '--role', 'admin']);
    token = out.trimEnd().split('\n').at(-1) ?? '';
  });
  afterAll(async () => {
    await Promise.all([served?.stop(), etcd?.stop(), other?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  describe('answers as its own gateway does, or the request is bad and the difference argued:', () => {
    for (const request of REQUESTS) {
      test(request.name, async () => {
        const [theirs, ours] = await Promise.all([
          ask(other.address, request),
          ask(served.address, request, token),
        ]);
        if (REMAINING.has(request.name)) {
          const listed = DIFFERENCES.get(request.name);
          expect({ theirs: summary(theirs), ours: summary(ours) }).toEqual({
            theirs: listed?.theirs,
            ours: listed?.ours,
          });
        } else {
          expect(told(ours, theirs, request), `${summary(theirs)} / ${summary(ours)}`).toEqual(
            told(theirs, ours, request),
          );
        }
      });
    }

    test('and what remains is about bad requests alone', () => {
      expect([...REMAINING].filter((name) => !name.startsWith('bad: ') || !DIFFERENCES.has(name))).toEqual(
        [],
      );
    });
  });

  describe('a stream', () => {
    const lines = async (address: string, path: string, body: object): Promise<unknown> => {
      const response = await fetch(`http://${address}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
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
