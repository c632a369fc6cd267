/** Sets whose members expire, in NATS: a value for each member, under a subject of its set. */
import { checkTtl } from './arguments.js';
import type { Member, Members } from './broker.js';
import { ALL_MEMBERS, memberSubject, setSubjects } from './nats_names.js';
import { type Cell, type NatsState, parseCell } from './nats_state.js';

type Swept = Member & { readonly set: string };

/** Set, member and value are in the cell: a subject may hold no more than the hash of a name. */
const swept = ({ parts: [set = '', member = '', value = ''] }: Cell): Swept => ({ set, member, value });

export function createNatsMembers(state: NatsState): Members {
  const expiry = createExpiry(state);
  const list = async (set: string): Promise<Member[]> =>
    (await state.list(setSubjects(set))).map((cell) => {
      const { member, value } = swept(cell);
      return { member, value };
    });

  return {
    async put(set, member, { ttlMs, value = '' }) {
      checkTtl(ttlMs);
      return state.change(memberSubject(set, member), (cell) => ({
        put: { ttlMs, parts: [set, member, value] },
        answer: cell === undefined,
      }));
    },
    remove: (set, member) =>
      state.change(memberSubject(set, member), (cell) => ({ remove: true, answer: cell !== undefined })),
    list: async (set) => (await list(set)).sort((one, other) => (one.member < other.member ? -1 : 1)),
    count: async (set) => (await list(set)).length,
    async sweep(prefix) {
      const found: Swept[] = [];
      for (const cell of await expiry.expired(prefix)) {
        try {
          // Only one can remove it, and only if it was not put again.
          if (await state.store.remove(cell.seq)) found.push(swept(cell));
        } catch (error) {
          // Those that are removed are told now or never, the others next time.
          if (found.length === 0) throw error;
          break;
        }
        expiry.forget(cell);
      }
      return found;
    },
  };
}

interface Expiry {
  expired(prefix: string): Promise<Cell[]>;
  /** It has been removed, or put again. */
  forget(cell: Cell): void;
}

/**
 * Finds the members that have expired. When each of them does is remembered, and only what was put since is read: sweeping is frequent, and
 * of many members few change.
 */
function createExpiry(state: NatsState): Expiry {
  const { store } = state;
  const cells = new Map<string, Cell>();
  let read = 0;
  let of = -1;
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    await store.ready();
    if (of !== store.incarnation) {
      cells.clear();
      read = 0;
      of = store.incarnation;
    }
    await store.scan(ALL_MEMBERS, read + 1, (message) => {
      cells.set(message.subject, parseCell(message));
      read = message.seq;
      return true;
    });
  }

  return {
    async expired(prefix) {
      looking = looking.then(look, look);
      await looking;
      const now = await store.now();
      return [...cells.values()].filter(({ until, parts: [set] }) => until <= now && set?.startsWith(prefix));
    },
    forget({ subject, seq }) {
      if (cells.get(subject)?.seq === seq) cells.delete(subject);
    },
  };
}
