/** Methods with a permission each, and callers who have few or many of them: what the benchmarks of access decide about. */
import { FieldOptionsSchema, StringValueSchema } from '@bufbuild/protobuf/wkt';
import { type Access, type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { allowed } from '../../src/policy/authorize.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';
import type { Work } from './turns.js';

export const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

/** The one that `methodOf` with this index needs. */
export const permissionOf = (index: number): string => `service${index % 100}:resource${index}:read`;

export function methodOf(index: number, bind?: Access['bind']): Method {
  const name = `bench.v1.Service${index % 100}/Get${index}`;
  return {
    name,
    service: name.split('/')[0] as string,
    path: `/${name}`,
    clientStreaming: false,
    serverStreaming: false,
    input: StringValueSchema,
    output: FieldOptionsSchema,
    routes: [],
    access: { public: false, permissions: [permissionOf(index)], roles: [], ...(bind && { bind }) },
    stream: STREAM_DEFAULTS,
    upstream: 'u1',
    source: { file: 'bench.proto' },
  };
}

export function bearer(permissions: Iterable<string>): Principal {
  return { ...ANONYMOUS, subject: 'ann', permissions: new Set(permissions), claims: { sub: 'ann' } };
}

/** `10 methods, 10000 permissions, granted` */
export const decisionName = (methods: number, held: number, how: string): string =>
  `${methods} methods, ${held} permissions, ${how}`;

/** The decision over 10 and 1,000 methods with 10 and 10,000 permissions: granted as such, by a wildcard, and refused. */
export function decisions(): Record<string, Work> {
  const works: Record<string, Work> = {};
  const filler = (length: number) => range(length).map((index) => `other${index}:x:y`);
  for (const methods of [10, 1_000]) {
    const list = range(methods).map((index) => methodOf(index));
    const needed = list.map((_, index) => permissionOf(index));
    for (const held of [10, 10_000]) {
      const cases = {
        granted: bearer([...needed, ...filler(Math.max(0, held - methods))]),
        'by a wildcard': bearer([...range(100).map((index) => `service${index}:*`), ...filler(held)]),
        refused: bearer(filler(held)),
      };
      for (const [how, principal] of Object.entries(cases))
        works[decisionName(methods, held, how)] = (index) =>
          allowed((list[index % methods] as Method).access, principal);
    }
  }
  return works;
}
