/** tidegate.v1.stream in a service configuration, by the names that the option has in a contract. */
import type { Source, StreamOptions } from '../method.js';
import { completeStream, POLICIES, SHARING } from './stream_options.js';
import type { YamlFields, YamlReader } from './yaml_reader.js';
import type { YamlEntry } from './yaml_value.js';

/** Fields of tidegate.v1.Stream and of the messages in it (proto/tidegate/v1/options.proto). */
const SCOPE = ['claims', 'headers'];
const RETENTION = ['entries', 'age', 'bytes'];
const SLOW = ['policy', 'key', 'bytes', 'age'];
const STREAM = [
  'event_field',
  'heartbeat',
  'sharing',
  'scope',
  'cursor_field',
  'resume_field',
  'retention',
  'linger',
  'slow',
];

export function readStreamRule(entry: YamlEntry, reader: YamlReader): StreamOptions {
  /** Where each field stands, by its path: `retention.age`. */
  const places = new Map<string, Source>();
  const part = (of: YamlEntry | undefined, known: readonly string[], path: string): Part | undefined => {
    const fields = of && reader.fields(of.value, known, of.key);
    for (const [key, { source }] of fields ?? []) places.set(`${path}${key}`, source);
    return fields && createPart(fields, reader);
  };
  const stream = part(entry, STREAM, '');
  const scope = part(stream?.entry('scope'), SCOPE, 'scope.');
  const retention = part(stream?.entry('retention'), RETENTION, 'retention.');
  const slow = part(stream?.entry('slow'), SLOW, 'slow.');
  return completeStream(
    {
      eventField: stream?.text('event_field'),
      heartbeatMs: stream?.duration('heartbeat'),
      // Of one that cannot be read, no more is told: it may be any but the default.
      sharing: stream?.entry('sharing') && (stream.oneOf('sharing', SHARING) ?? 'shared'),
      scope: scope && { claims: scope.texts('claims'), headers: scope.texts('headers') },
      cursorField: stream?.text('cursor_field'),
      resumeField: stream?.text('resume_field'),
      retention: retention && {
        entries: retention.whole('entries'),
        ageMs: retention.duration('age'),
        bytes: retention.whole('bytes'),
      },
      lingerMs: stream?.duration('linger'),
      slow: slow && {
        policy: slow.oneOf('policy', POLICIES),
        key: slow.text('key'),
        bytes: slow.whole('bytes'),
        ageMs: slow.duration('age'),
      },
    },
    (problem, field) => reader.report(places.get(field) ?? entry.source, `stream: ${problem}`),
  );
}

/** The fields of one mapping; undefined is one that is not given. */
interface Part {
  entry(name: string): YamlEntry | undefined;
  text(name: string): string | undefined;
  texts(name: string): string[];
  duration(name: string): number | undefined;
  whole(name: string): number | undefined;
  oneOf<T>(name: string, names: Readonly<Record<string, T>>): T | undefined;
}

function createPart(fields: YamlFields, reader: YamlReader): Part {
  const read = <T>(name: string, how: (entry: YamlEntry) => T): T | undefined => {
    const entry = fields.get(name);
    return entry && how(entry);
  };
  return {
    entry: (name) => fields.get(name),
    text: (name) => read(name, (entry) => reader.text(entry)),
    texts: (name) => read(name, (entry) => reader.texts(entry)) ?? [],
    duration: (name) => read(name, (entry) => reader.milliseconds(entry)),
    whole: (name) => read(name, (entry) => reader.whole(entry)),
    oneOf: (name, names) => read(name, (entry) => reader.oneOf(entry, names)),
  };
}
