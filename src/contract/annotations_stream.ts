/** tidegate.v1.stream of a method, read from the fields of the encoded option. */
import type { StreamOptions } from '../method.js';
import { completeStream, POLICIES, type ReportStream, SHARING } from './stream_options.js';
import { numberOf, partsOf, textOf, type WireField } from './wire.js';

/** Field numbers of tidegate.v1.Stream and the messages in it (proto/tidegate/v1/options.proto). */
const STREAM = {
  eventField: 1,
  heartbeat: 2,
  sharing: 3,
  scope: 4,
  cursorField: 5,
  resumeField: 6,
  retention: 7,
  linger: 8,
  slow: 9,
} as const;
const SCOPE = { claims: 1, headers: 2 } as const;
const RETENTION = { entries: 1, age: 2, bytes: 3 } as const;
const SLOW = { policy: 1, key: 2, bytes: 3, age: 4 } as const;

/** Names of Stream.Sharing and SlowReader.Policy by number; 0 says nothing. */
const SHARING_NAMES = ['', 'PRIVATE', 'SHARED', 'NODE'] as const;
const POLICY_NAMES = ['', 'DISCONNECT', 'DROP_OLDEST', 'CONFLATE', 'LATEST'] as const;

type Fields = readonly WireField[];

/** Throws when a message in it is none. */
export function readStream(fields: Fields, report: ReportStream): StreamOptions {
  const scope = partOf(fields, STREAM.scope);
  const retention = partOf(fields, STREAM.retention);
  const slow = partOf(fields, STREAM.slow);
  const named = (from: Fields, no: number, names: readonly string[], field: string): string => {
    const number = numberIn(from, no) ?? 0;
    const name = names[number];
    if (name !== undefined) return name;
    report(`${field}: ${number} is none of ${names.filter(Boolean).join(', ')}`, field);
    // No more is told of it: it may be any but the default.
    return names.at(-1) ?? '';
  };
  return completeStream(
    {
      eventField: textIn(fields, STREAM.eventField),
      heartbeatMs: durationIn(fields, STREAM.heartbeat),
      sharing: SHARING[named(fields, STREAM.sharing, SHARING_NAMES, 'sharing')],
      scope: scope && { claims: textsIn(scope, SCOPE.claims), headers: textsIn(scope, SCOPE.headers) },
      cursorField: textIn(fields, STREAM.cursorField),
      resumeField: textIn(fields, STREAM.resumeField),
      retention: retention && {
        entries: numberIn(retention, RETENTION.entries),
        ageMs: durationIn(retention, RETENTION.age),
        bytes: numberIn(retention, RETENTION.bytes),
      },
      lingerMs: durationIn(fields, STREAM.linger),
      slow: slow && {
        policy: POLICIES[named(slow, SLOW.policy, POLICY_NAMES, 'slow.policy')],
        key: textIn(slow, SLOW.key),
        bytes: numberIn(slow, SLOW.bytes),
        ageMs: durationIn(slow, SLOW.age),
      },
    },
    report,
  );
}

/** The fields of a singular message field, merged; undefined when it is not set. */
function partOf(fields: Fields, no: number): Fields | undefined {
  const pieces = fields.filter((field) => field.no === no);
  return pieces.length === 0 ? undefined : pieces.flatMap(partsOf);
}

function textsIn(fields: Fields, no: number): string[] {
  return fields.filter((field) => field.no === no).map((field) => textOf(field) ?? '');
}

function textIn(fields: Fields, no: number): string | undefined {
  return textsIn(fields, no).at(-1);
}

function numberIn(fields: Fields, no: number): number | undefined {
  const last = fields.findLast((field) => field.no === no);
  return last && numberOf(last);
}

/** google.protobuf.Duration { seconds = 1; nanos = 2 } in whole milliseconds. */
function durationIn(fields: Fields, no: number): number | undefined {
  const duration = partOf(fields, no);
  if (duration === undefined) return undefined;
  return Math.round((numberIn(duration, 1) ?? 0) * 1_000 + (numberIn(duration, 2) ?? 0) / 1_000_000);
}
