/** Sets whose members expire, in Redis. */
import { checkTtl } from './arguments.js';
import type { Member, Members } from './broker.js';
import type { RedisConnection } from './redis_connection.js';
import { ALL_SETS, MEMBERS, VALUES } from './redis_keys.js';
import { COUNT, LIST, PUT, REMOVE, SWEEP } from './redis_scripts.js';

/** What nobody has swept is dropped untold this long after it has expired. */
const UNSWEPT_MS = 24 * 3_600_000;
/** Members that one step sweeps. */
const SWEPT = 500;

export function createRedisMembers(connection: RedisConnection): Members {
  return {
    async put(set, member, { ttlMs, value = '' }) {
      checkTtl(ttlMs);
      const keys = [MEMBERS + set, VALUES + set, ALL_SETS];
      return (await connection.run(PUT, keys, [set, member, `${ttlMs}`, value, `${UNSWEPT_MS}`])) === 1;
    },
    async remove(set, member) {
      return (await connection.run(REMOVE, [MEMBERS + set, VALUES + set], [member])) === 1;
    },
    async list(set) {
      const answer = await connection.run(LIST, [MEMBERS + set, VALUES + set], []);
      const [names, kept] = answer as [Buffer[], Buffer[]];
      const values = new Map<string, string>();
      for (let index = 0; index < kept.length; index += 2) {
        values.set(String(kept[index]), String(kept[index + 1]));
      }
      return names
        .map(String)
        .sort()
        .map((member) => ({ member, value: values.get(member) ?? '' }));
    },
    async count(set) {
      return Number(await connection.run(COUNT, [MEMBERS + set], []));
    },
    async sweep(prefix) {
      const swept: (Member & { readonly set: string })[] = [];
      for (let skip = 0; ; ) {
        const args = [prefix, String(skip), MEMBERS, VALUES, String(SWEPT)];
        const answer = await connection.run(SWEEP, [ALL_SETS], args);
        const [done, others, found] = answer as [number, number, Buffer[]];
        const names = found.map(String);
        for (let index = 0; index < names.length; index += 3) {
          const [set = '', member = '', value = ''] = names.slice(index, index + 3);
          swept.push({ set, member, value });
        }
        if (done === 1) return swept;
        skip = others;
      }
    },
  };
}
