/** What is due on connections, and when: heartbeats, warnings and ends of all of them by one timer. */
import { LONGEST_TIMER } from '../src/policy/deadline.js';

/** Something that can be due. The agenda keeps its place in it, so that an entry costs no object of its own. */
export abstract class Due {
  /** When, by the clock of `performance.now()`. Set by the agenda alone. */
  dueAt = Number.POSITIVE_INFINITY;
  /** Its place; -1 when it is in no agenda. Set by the agenda alone. */
  place = -1;
  /** It is due, and no longer in the agenda: it may enter itself again. Must not throw. */
  abstract due(now: number): void;
}

export interface Agenda {
  /** Enters it, or moves it to another time. */
  enter(entry: Due, at: number): void;
  remove(entry: Due): void;
}

/** Entries that are served in one turn of the event loop: the next ones wait for other work. */
const TURN_ENTRIES = 256;

/** Keeps no process alive. */
export function createAgenda(): Agenda {
  return new Heap();
}

/** A binary heap: the parent of place n is at (n - 1) / 2, and due no later. */
class Heap implements Agenda {
  private readonly entries: Due[] = [];
  private timer: NodeJS.Timeout | undefined;
  private timerAt = Number.POSITIVE_INFINITY;

  enter(entry: Due, at: number): void {
    entry.dueAt = at;
    if (entry.place === -1) {
      entry.place = this.entries.length;
      this.entries.push(entry);
    }
    this.settle(entry);
    this.arm();
  }

  remove(entry: Due): void {
    const { place } = entry;
    if (place === -1) return;
    entry.place = -1;
    const last = this.entries.pop() as Due;
    if (last === entry) return;
    last.place = place;
    this.entries[place] = last;
    this.settle(last);
  }

  /** Moves an entry up or down to where it belongs. */
  private settle(entry: Due): void {
    const { entries } = this;
    let { place } = entry;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = entries[above] as Due;
      if (parent.dueAt <= entry.dueAt) break;
      this.put(parent, place);
      place = above;
    }
    for (;;) {
      const child = this.earlierChild(place);
      if (child === undefined || child.dueAt >= entry.dueAt) break;
      const below = child.place;
      this.put(child, place);
      place = below;
    }
    this.put(entry, place);
  }

  private earlierChild(place: number): Due | undefined {
    const left = this.entries[2 * place + 1];
    const right = this.entries[2 * place + 2];
    return right !== undefined && left !== undefined && right.dueAt < left.dueAt ? right : left;
  }

  private put(entry: Due, place: number): void {
    entry.place = place;
    this.entries[place] = entry;
  }

  private arm(): void {
    const first = this.entries[0];
    if (first === undefined || first.dueAt >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = first.dueAt;
    const ms = Math.min(Math.max(Math.ceil(first.dueAt - performance.now()), 0), LONGEST_TIMER);
    this.timer = setTimeout(serve, ms, this);
    this.timer.unref();
  }

  serve(): void {
    this.timerAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    for (let served = 0; served < TURN_ENTRIES; served++) {
      const first = this.entries[0];
      if (first === undefined || first.dueAt > now) break;
      this.remove(first);
      first.due(now);
    }
    this.arm();
  }
}

function serve(heap: { serve(): void }): void {
  heap.serve();
}
