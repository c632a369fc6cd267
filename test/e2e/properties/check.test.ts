/** The checker finds what it is for: a good history has no violation, and each way of spoiling one has its own. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, type Expected, type Property } from './check.js';
import type { Happening, History } from './history.js';

type Step = Happening extends infer One ? (One extends Happening ? Omit<One, 'at'> : never) : never;

const connect = (cursor?: string): Step => ({
  kind: 'connect',
  port: 1,
  ...(cursor === undefined ? {} : { cursor }),
});
const open = (cursor: string, resumed = false): Step => ({
  kind: 'open',
  cursor,
  resumed,
  heartbeatMs: 1000,
});
const event = (n: number, cursor = `c${n}`): Step => ({
  kind: 'message',
  cursor,
  event: { n, stream: 's', owner: '' },
});
const events = (from: number, to: number): Step[] =>
  Array.from({ length: to - from + 1 }, (_, index) => event(from + index));
const bookmark = (cursor: string): Step => ({ kind: 'bookmark', cursor });
const caughtUp = (cursor: string): Step => ({ kind: 'caught_up', cursor });
const reset = (cursor: string): Step => ({ kind: 'reset', reason: 'epoch_changed', cursor });
const heartbeat: Step = { kind: 'heartbeat' };
const cut: Step = { kind: 'cut' };

/** Steps 100 ms apart. */
function history(steps: readonly Step[], client = 'a'): History {
  const happenings = steps.map((step, index) => ({ ...step, at: index * 100 }) as Happening);
  return { client, stream: 's', owner: '', happenings };
}

const LOSS = { from: 3, to: 7, reasons: ['epoch_changed'] } as const;

function found(steps: readonly Step[], expected?: Expected): Property[] {
  return check([history(steps)], expected).violations.map(({ property }) => property);
}

describe('nothing is found', () => {
  test('in a stream that is read in one go', () => {
    const result = check([history([connect(), open('c0'), ...events(1, 5), bookmark('c5'), heartbeat])], {
      last: 5,
    });
    expect(result).toEqual({
      violations: [],
      delivered: 5,
      repeated: 0,
      lost: 0,
      doubled: 0,
      skipped: 0,
      resets: {},
      connections: 1,
    });
  });

  test('in a stream that begins in the middle, is cut, and is resumed after an event and after a bookmark', () => {
    const steps = [
      connect('now'),
      open('c6'),
      ...events(7, 9),
      cut,
      connect('c9'),
      { kind: 'refused', status: 503 } as const,
      connect('c9'),
      open('c9', true),
      ...events(10, 11),
      caughtUp('c11'),
      bookmark('c11'),
      cut,
      connect('c11'),
      open('c11', true),
      event(12),
    ];
    expect(found(steps, { last: 12 })).toEqual([]);
  });

  test('when a client resumes where it opened, without having seen an event', () => {
    expect(found([connect(), open('c3'), cut, connect('c3'), open('c3', true), event(4)])).toEqual([]);
  });

  test('when history was lost, and a reset says so', () => {
    const steps = [connect(), open('c0'), ...events(1, 3), reset('d0'), ...events(8, 9)];
    const result = check([history(steps)], { losses: [LOSS], last: 9 });
    expect(result.violations).toEqual([]);
    expect(result).toMatchObject({ delivered: 5, skipped: 4, lost: 0, resets: { epoch_changed: 1 } });
  });

  test('when events come again after a reset, since the client has forgotten them', () => {
    const steps = [
      connect(),
      open('c0'),
      ...events(1, 3),
      cut,
      connect('c3'),
      open('d0'),
      reset('d0'),
      ...[2, 3, 4].map((n) => event(n, `d${n}`)),
    ];
    expect(found(steps, { losses: [LOSS] })).toEqual([]);
  });

  test('when a client is sent back to the oldest event, and comes to an old loss again', () => {
    const steps = [
      connect(),
      open('c0'),
      ...events(1, 3),
      reset('d0'),
      ...events(8, 9),
      reset('e0'),
      ...events(2, 3),
      reset('f0'),
      ...events(8, 12),
    ];
    const losses = [LOSS, { from: 9, to: 9, reasons: ['epoch_changed'] as const }];
    expect(found(steps, { losses, last: 12 })).toEqual([]);
    expect(found(steps, { losses: [LOSS] })).toEqual(['reset']);
  });

  test('in polls, whose events have a cursor only as a batch', () => {
    const steps = [
      connect(),
      open('c0'),
      event(1, ''),
      event(2, ''),
      bookmark('c2'),
      { kind: 'answered' } as const,
      connect('c2'),
      open('c2', true),
      event(3, ''),
      bookmark('c3'),
      { kind: 'answered' } as const,
    ];
    expect(check([history(steps), history([connect(), open('c0'), ...events(1, 3)], 'b')])).toMatchObject({
      violations: [],
      delivered: 6,
    });
  });
});

describe('found is', () => {
  const START = [connect(), open('c0'), ...events(1, 3)];
  const cases: readonly [string, Property, readonly Step[], Expected?][] = [
    ['an event that is missing', 'hole', [...START, event(5)]],
    ['an event that is missing after the first one', 'hole', [connect(), open('c0'), event(1), event(3)]],
    ['an event that comes again with another cursor', 'double', [...START, event(3, 'other')]],
    ['an event that comes again', 'suffix', [...START, event(2)]],
    ['an event that comes late', 'order', [...START, event(5), event(4)]],
    ['a resumed stream that skips', 'suffix', [...START, cut, connect('c3'), open('c3', true), event(5)]],
    [
      'a resumed stream that goes back',
      'suffix',
      [...START, cut, connect('c3'), open('c3', true), event(3, 'other')],
    ],
    [
      'a stream that was not resumed where it was asked to, and does not say so',
      'silence',
      [...START, cut, connect('c3'), open('c7'), event(8)],
    ],
    [
      'a bookmark on a stream that was not resumed and does not say so',
      'silence',
      [...START, cut, connect('c3'), open('c3'), bookmark('c3')],
    ],
    ['a reset when nothing was lost', 'reset', [...START, reset('d0'), event(4, 'd1')]],
    [
      'a reset for another reason than that of the loss',
      'reset',
      [...START, reset('d0')],
      { losses: [{ ...LOSS, reasons: ['log_diverged'] }] },
    ],
    [
      'a reset before the loss',
      'reset',
      [...START, reset('d0'), event(4, 'd1')],
      { losses: [{ ...LOSS, from: 4 }] },
    ],
    [
      'a reset behind the loss',
      'reset',
      [...START, reset('d0'), event(9, 'd1')],
      { losses: [{ ...LOSS, from: 1, to: 2 }] },
    ],
    [
      'a reset because of the loss of another stream',
      'reset',
      [...START, reset('d0')],
      { losses: [{ ...LOSS, touches: (stream) => stream !== 's' }] },
    ],
    [
      'a second reset for one loss',
      'reset',
      [...START, reset('d0'), event(4, 'd1'), reset('e0')],
      { losses: [LOSS] },
    ],
    ['a reset without a cursor', 'reset', [...START, reset('')], { losses: [LOSS] }],
    [
      'a reset for a client that knew nothing',
      'reset',
      [connect(), open('c0'), reset('d0')],
      { losses: [LOSS] },
    ],
    ['an event of another stream', 'foreign', [...START, foreign({ stream: 't' })]],
    ['an event of somebody else', 'foreign', [...START, foreign({ owner: 'eve' })]],
    ['the end of a stream that is missing', 'unfinished', START, { last: 4 }],
    ['a client that saw nothing', 'unfinished', [connect(), open('c0')], { last: 4 }],
    ['an event before open', 'framing', [connect(), event(1)]],
    ['an event after the end', 'framing', [...START, { kind: 'end', code: 0 }, event(4)]],
    ['an event of nowhere', 'framing', [event(1)]],
    ['a second open', 'framing', [...START, open('c3')]],
    ['a second end of the replay', 'framing', [...START, caughtUp('c3'), caughtUp('c3')]],
    ['a bookmark without a cursor', 'framing', [...START, bookmark('')]],
    ['a stream that was resumed unasked', 'framing', [connect(), open('c0', true)]],
  ];
  for (const [title, property, steps, expected] of cases) {
    test(title, () => expect(found(steps, expected)).toContain(property));
  }

  test('a bookmark that is ahead of an event, by what another client got', () => {
    const ahead = history([connect(), open('c0'), event(1), bookmark('c3'), event(2), event(3)]);
    const { violations } = check([ahead, history(START, 'b')]);
    expect(violations).toMatchObject([{ property: 'bookmark', client: 'a' }]);
  });

  test('a bookmark that is ahead of an event, by what the client itself gets', () => {
    expect(found([connect(), open('c0'), event(1), bookmark('c2'), event(2)])).toContain('bookmark');
  });

  test('a bookmark that is behind', () => {
    expect(found([...START, bookmark('c2')])).toContain('bookmark');
  });

  test('the place of a first open that is ahead, by what another client got', () => {
    const late = history([connect(), open('c2'), event(2), event(3)], 'b');
    expect(check([history(START), late]).violations).toMatchObject([{ property: 'bookmark', client: 'b' }]);
  });

  test('one cursor for two events', () => {
    const other = history([connect(), open('c0'), event(1, 'c1'), event(2, 'c3')], 'b');
    expect(check([history(START), other]).violations).toMatchObject([{ property: 'order', client: 'b' }]);
  });

  test('a hole behind a bookmark of another client that was resumed', () => {
    const probe = history([connect('c2'), open('c2', true), event(4)], 'probe');
    const { violations, lost } = check([history([...START, event(4)]), probe]);
    expect(violations).toMatchObject([{ property: 'suffix', client: 'probe' }]);
    expect(lost).toBe(1);
  });

  test('a connection that is quiet for longer than its heartbeat, but not while the gateway was stopped', () => {
    const { happenings } = history(START);
    const late: Happening = { kind: 'heartbeat', at: 4000 };
    const quiet = { ...history([]), happenings: [...happenings, late] };
    expect(check([quiet]).violations).toMatchObject([{ property: 'heartbeat', at: 4000 }]);
    expect(check([quiet], { lateMs: 3000 }).violations).toEqual([]);
    expect(check([quiet], { pauses: [{ from: 3000, until: 3500 }] }).violations).toEqual([]);
    expect(check([quiet], { pauses: [{ from: 4500, until: 5000 }] }).violations).toHaveLength(1);
  });
});

function foreign(change: { readonly stream?: string; readonly owner?: string }): Step {
  return { kind: 'message', cursor: 'c4', event: { n: 4, stream: 's', owner: '', ...change } };
}

/** A client that reads `count` events, is cut after some of them, and resumes. */
const goodSteps = fc
  .record({
    first: fc.integer({ min: 1, max: 20 }),
    count: fc.integer({ min: 4, max: 40 }),
    cuts: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 5 }),
    marks: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 5 }),
  })
  .map(({ first, count, cuts, marks }) => {
    const steps: Step[] = [connect('now'), open(`c${first - 1}`)];
    for (let n = first; n < first + count; n++) {
      const at = `c${n - 1}`;
      if (marks.includes(n)) steps.push(bookmark(at));
      if (cuts.includes(n)) steps.push(cut, connect(at), open(at, true));
      steps.push(event(n));
    }
    return { steps, last: first + count - 1 };
  });

/** Positions of the events that are neither the first nor the last two. */
const inner = (steps: readonly Step[]): number[] =>
  steps.flatMap(({ kind }, index) => (kind === 'message' ? [index] : [])).slice(1, -2);

describe('in any history', () => {
  test('that is good, nothing is found', () => {
    fc.assert(
      fc.property(goodSteps, ({ steps, last }) => {
        expect(found(steps, { last })).toEqual([]);
      }),
    );
  });

  const spoil: readonly [string, (steps: Step[], at: number) => Step[]][] = [
    ['without one of its events', (steps, at) => steps.toSpliced(at, 1)],
    ['with an event twice', (steps, at) => steps.toSpliced(at, 0, steps[at] as Step)],
    [
      'with an event twice, under two cursors',
      (steps, at) =>
        steps.toSpliced(at + 1, 0, { ...(steps[at] as Step & { kind: 'message' }), cursor: 'other' }),
    ],
    [
      'with two events exchanged',
      (steps, at) => {
        const next = steps.findIndex(({ kind }, index) => index > at && kind === 'message');
        const result = [...steps];
        result[at] = steps[next] as Step;
        result[next] = steps[at] as Step;
        return result;
      },
    ],
    ['with a reset that nobody can explain', (steps, at) => steps.toSpliced(at, 0, reset('d'))],
    [
      'with a bookmark ahead of an event',
      (steps, at) => steps.toSpliced(at, 0, bookmark((steps[at] as Step & { kind: 'message' }).cursor)),
    ],
  ];
  for (const [title, change] of spoil) {
    test(`${title}, something is found`, () => {
      fc.assert(
        fc.property(goodSteps, fc.nat(), ({ steps }, choice) => {
          const places = inner(steps);
          const at = places[choice % places.length] as number;
          expect(found(change(steps, at))).not.toEqual([]);
        }),
      );
    });
  }
});
