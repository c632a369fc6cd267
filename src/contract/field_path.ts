/** Paths of fields inside a message type, as options name them: `sequence`, or `position.token` through singular messages. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';

/** A field that holds one value: no list, no map, no message. */
export type DescLeaf = DescField & { readonly fieldKind: 'scalar' | 'enum' };

export interface FieldPath {
  /** The message fields that lead to it, from the outside in. */
  readonly through: readonly (DescField & { readonly fieldKind: 'message' })[];
  readonly leaf: DescLeaf;
}

/** The field that a path of proto names leads to, or what is wrong with the path. */
export function findField(desc: DescMessage, path: string): FieldPath | string {
  const names = path.split('.');
  const through: (DescField & { readonly fieldKind: 'message' })[] = [];
  let within = desc;
  for (const [at, name] of names.entries()) {
    const field = within.fields.find((candidate) => candidate.name === name);
    const shown = names.slice(0, at + 1).join('.');
    if (field === undefined) return `${within.typeName} has no field ${JSON.stringify(name)}`;
    if (field.fieldKind === 'list' || field.fieldKind === 'map') return `${shown} holds more than one value`;
    const last = at === names.length - 1;
    if (field.fieldKind !== 'message') {
      return last ? { through, leaf: field } : `${shown} is not a message: it has no fields`;
    }
    if (last) return `${shown} is a message, not a single value`;
    if (field.delimitedEncoding) return `${shown} is a group: no path leads through one`;
    through.push(field);
    within = field.message;
  }
  return 'the path is empty';
}
