/** Sets whose members expire, in the memory of this process. */
import { checkTtl } from './arguments.js';
import type { Member, Members } from './broker.js';

interface Kept {
  readonly value: string;
  readonly until: number;
}

/** @param open throws once the broker is closed. */
export function createMemoryMembers(open: () => void): Members {
  const sets = new Map<string, Map<string, Kept>>();

  function take(set: string, member: string): boolean {
    const kept = sets.get(set);
    const found = kept?.delete(member) ?? false;
    if (kept?.size === 0) sets.delete(set);
    return found;
  }

  function present(set: string): Member[] {
    const now = Date.now();
    return [...(sets.get(set) ?? [])]
      .filter(([, { until }]) => until > now)
      .map(([member, { value }]) => ({ member, value }));
  }

  return {
    async put(set, member, { ttlMs, value = '' }) {
      open();
      checkTtl(ttlMs);
      const kept = sets.get(set) ?? new Map<string, Kept>();
      sets.set(set, kept);
      const isNew = !kept.has(member);
      kept.set(member, { value, until: Date.now() + ttlMs });
      return isNew;
    },
    async remove(set, member) {
      open();
      return take(set, member);
    },
    async list(set) {
      open();
      return present(set).sort((one, other) => (one.member < other.member ? -1 : 1));
    },
    async count(set) {
      open();
      return present(set).length;
    },
    async sweep(prefix) {
      open();
      const now = Date.now();
      const swept: (Member & { readonly set: string })[] = [];
      for (const [set, kept] of sets) {
        if (!set.startsWith(prefix)) continue;
        for (const [member, { value, until }] of kept) {
          if (until > now) continue;
          take(set, member);
          swept.push({ set, member, value });
        }
      }
      return swept;
    },
  };
}
