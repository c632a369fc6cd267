/** Who is present where, across nodes: members with leases, renewed by the node that holds their streams, swept when it is gone. */
import { randomBytes } from 'node:crypto';
import { BrokerError, type Member, type Members } from '../../src/broker/broker.js';

/** What is told of a user in a room; by exactly one node. */
export interface Change {
  readonly kind: 'joined' | 'updated' | 'left';
  readonly room: string;
  readonly user: string;
  /** What was put for the user. */
  readonly value: string;
}

export interface AttendanceOptions {
  readonly members: Members;
  /** Before the names of all sets. Nodes with the same one see the same. */
  readonly space: string;
  /** Tells a change to everybody. Rejects with BrokerError when that may be tried again. */
  readonly tell: (change: Change) => Promise<void>;
  /** How long those whose node has died are still present, in ms; default 30 s. They are renewed three times in that time. */
  readonly ttlMs?: number;
  /** Hears of errors that nobody waits for. */
  readonly report: (error: unknown) => void;
}

export interface JoinOptions {
  /** Put for the user. Gets the value that the user has already, if somebody holds it. */
  readonly value: (before: string | undefined) => string;
  readonly capacity: number;
  readonly lingerMs: number;
}

export type Joined = { readonly isFull: true } | { readonly isFull: false; readonly stay: Stay };

/** One stream of a user in a room. */
export interface Stay {
  /** Whether the user was not there before, and was told to have joined. */
  readonly isFirst: boolean;
  /** Resolves with whether the user has left, which was told. With a linger that comes later. Never rejects; idempotent. */
  leave(): Promise<boolean>;
}

/** What this node holds: a user in a room, with any number of streams. */
interface Hold {
  readonly room: string;
  readonly user: string;
  streams: number;
  value: string;
}

const TTL_MS = 30_000;
const SWEEP_MS = 1_000;
/** Leases that are renewed at the same time. */
const AT_ONCE = 64;
/** Holds a user in the name of nobody, after the last stream has ended. */
const LINGERING = 'lingering';

export class Attendance {
  readonly #node = randomBytes(8).toString('hex');
  readonly #holds = new Map<string, Hold>();
  /** The last thing that was begun for a user in a room: the next one waits for it. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #options: Required<AttendanceOptions>;
  readonly #timers: readonly NodeJS.Timeout[];
  /** Those who have left and could not be told of yet. */
  readonly #untold: Change[] = [];
  #renewing = false;
  #sweeping = false;

  constructor(options: AttendanceOptions) {
    this.#options = { ttlMs: TTL_MS, ...options };
    const { ttlMs } = this.#options;
    const every = (ms: number, run: () => Promise<void>) =>
      setInterval(() => void run().catch((error: unknown) => this.#report(error)), ms).unref();
    this.#timers = [
      every(Math.ceil(ttlMs / 3), () => this.#renew()),
      every(Math.min(SWEEP_MS, Math.ceil(ttlMs / 3)), () => this.#sweep()),
    ];
  }

  /** A user comes, with one more stream. Rejects with BrokerError. */
  join(room: string, user: string, options: JoinOptions): Promise<Joined> {
    const key = keyOf(room, user);
    return this.#inTurn(key, async () => {
      const hold = this.#holds.get(key);
      if (hold === undefined) return this.#enter({ room, user, streams: 1, value: '' }, options);
      hold.streams += 1;
      const value = options.value(hold.value);
      if (value !== hold.value) await this.#update(hold, value);
      return { isFull: false, stay: this.#stay(hold, false, options.lingerMs) };
    });
  }

  /** Another node has changed what is put for a user: this one goes on to put the same. */
  updated(room: string, user: string, value: string): void {
    const hold = this.#holds.get(keyOf(room, user));
    if (hold !== undefined) hold.value = value;
  }

  /** Sorted by user. */
  list(room: string): Promise<readonly Member[]> {
    return this.#options.members.list(this.#present(room));
  }

  count(room: string): Promise<number> {
    return this.#options.members.count(this.#present(room));
  }

  /** Those who are still here stay present until their leases end. */
  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #enter(hold: Hold, { value, capacity, lingerMs }: JoinOptions): Promise<Joined> {
    const { members, ttlMs } = this.#options;
    const { room, user } = hold;
    const [held] = await members.list(this.#held(hold));
    hold.value = value(held?.value);
    await members.put(this.#held(hold), this.#node, { ttlMs, value: hold.value });
    let isFirst = false;
    try {
      isFirst = await members.put(this.#present(room), user, { ttlMs, value: hold.value });
      const isFull = isFirst && (await members.count(this.#present(room))) > capacity;
      if (isFull) {
        await this.#forget(hold);
        return { isFull };
      }
      if (isFirst) await this.#tell('joined', hold);
      else if (held !== undefined && held.value !== hold.value) await this.#tell('updated', hold);
    } catch (thrown) {
      // Whatever of it arrived ends with its lease, if it cannot be taken back now.
      await this.#forget(hold, isFirst).catch(() => {});
      throw thrown;
    }
    this.#holds.set(keyOf(room, user), hold);
    return { isFull: false, stay: this.#stay(hold, isFirst, lingerMs) };
  }

  async #forget(hold: Hold, isFirst = true): Promise<void> {
    const { members } = this.#options;
    await members.remove(this.#held(hold), this.#node);
    if (isFirst) await members.remove(this.#present(hold.room), hold.user);
  }

  async #update(hold: Hold, value: string): Promise<void> {
    hold.value = value;
    await this.#put(hold);
    await this.#tell('updated', hold);
  }

  #stay(hold: Hold, isFirst: boolean, lingerMs: number): Stay {
    let leaving: Promise<boolean> | undefined;
    const leave = async (): Promise<boolean> => {
      hold.streams -= 1;
      if (hold.streams > 0) return false;
      this.#holds.delete(keyOf(hold.room, hold.user));
      try {
        return await this.#exit(hold, lingerMs);
      } catch (thrown) {
        // The lease ends by itself.
        this.#report(thrown);
        return false;
      }
    };
    return {
      isFirst,
      leave: () => {
        leaving ??= this.#inTurn(keyOf(hold.room, hold.user), leave);
        return leaving;
      },
    };
  }

  async #exit(hold: Hold, lingerMs: number): Promise<boolean> {
    const { members } = this.#options;
    const { room, user, value } = hold;
    await members.remove(this.#held(hold), this.#node);
    if ((await this.#heldValue(hold)) !== undefined) return false;
    if (lingerMs > 0) {
      await members.put(this.#held(hold), LINGERING, { ttlMs: lingerMs, value });
      await members.put(this.#present(room), user, { ttlMs: lingerMs, value });
      // Another node may have put it for longer, and just before.
      const other = await this.#heldValue(hold);
      const { ttlMs } = this.#options;
      if (other !== undefined) await members.put(this.#present(room), user, { ttlMs, value: other });
      return false;
    }
    if (!(await members.remove(this.#present(room), user))) return false;
    const change = { kind: 'left', room, user, value } as const;
    try {
      await this.#options.tell(change);
    } catch (thrown) {
      this.#untold.push(change);
      throw thrown;
    }
    await this.#lookAgain(change);
    return true;
  }

  /** What is put for the user by a node that has a stream of it; undefined when none has. */
  async #heldValue(of: Pick<Hold, 'room' | 'user'>): Promise<string | undefined> {
    const holders = await this.#options.members.list(this.#held(of));
    return holders.find(({ member }) => member !== LINGERING)?.value;
  }

  /** Somebody who came in the very moment in which the leaving was found out is there all the same, and told to be. */
  async #lookAgain(left: Change): Promise<void> {
    const value = await this.#heldValue(left);
    if (value === undefined) return;
    const { members, ttlMs } = this.#options;
    await members.put(this.#present(left.room), left.user, { ttlMs, value });
    await this.#options.tell({ ...left, kind: 'joined', value });
  }

  #tell(kind: Change['kind'], { room, user, value }: Hold): Promise<void> {
    return this.#options.tell({ kind, room, user, value });
  }

  /** Whether the user was not present before. */
  async #put(hold: Hold): Promise<boolean> {
    const { members, ttlMs } = this.#options;
    const { room, user, value } = hold;
    await members.put(this.#held(hold), this.#node, { ttlMs, value });
    return members.put(this.#present(room), user, { ttlMs, value });
  }

  /** Leases that cannot be renewed now are tried again the next time. */
  async #renew(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    const holds = [...this.#holds.values()].values();
    const renewSome = async () => {
      for (const hold of holds) {
        const key = keyOf(hold.room, hold.user);
        await this.#inTurn(key, async () => {
          if (this.#holds.get(key) !== hold) return;
          // This node was away for longer than a lease, and others were told that the user has left.
          if (await this.#put(hold)) await this.#tell('joined', hold);
        }).catch((error: unknown) => this.#report(error));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, renewSome));
    this.#renewing = false;
  }

  /** Tells who has left without a word, each by one node of the cluster. What cannot be told now is told the next time. */
  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    try {
      const present = this.#present('');
      for (const { set, member, value } of await this.#options.members.sweep(`${this.#options.space}/`)) {
        if (set.startsWith(present))
          this.#untold.push({ kind: 'left', room: set.slice(present.length), user: member, value });
      }
      for (let left = this.#untold[0]; left !== undefined; left = this.#untold[0]) {
        await this.#options.tell(left);
        this.#untold.shift();
        await this.#lookAgain(left);
      }
    } finally {
      this.#sweeping = false;
    }
  }

  /** One thing after the other for a user in a room, in the order in which they are asked for. */
  #inTurn<T>(key: string, run: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key) ?? Promise.resolve();
    const done = before.then(run, run);
    const turn: Promise<unknown> = done
      .catch(() => {})
      .then(() => {
        if (this.#turns.get(key) === turn) this.#turns.delete(key);
      });
    this.#turns.set(key, turn);
    return done;
  }

  /** That a broker does not answer is its own business. */
  #report(error: unknown): void {
    if (!(error instanceof BrokerError)) this.#options.report(error);
  }

  #present(room: string): string {
    return `${this.#options.space}/present/${room}`;
  }

  #held({ room, user }: Pick<Hold, 'room' | 'user'>): string {
    return `${this.#options.space}/held/${room}/${user}`;
  }
}

const keyOf = (room: string, user: string): string => `${room}/${user}`;
