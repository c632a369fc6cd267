/** The field mask of a PATCH that names none: what its body mentions is what changes. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { JsonObject } from '../../src/codec/codec.js';
import type { HttpRule } from '../../src/method.js';
import { findByProtoName, findField, isParent } from './fields.js';
import { isObject, ownMember } from './tree.js';

/** The field to fill: `update_mask` of a PATCH whose body is one message of the request. */
export function findMaskField(
  rule: HttpRule,
  input: DescMessage,
  bodyField: DescField,
): DescField | undefined {
  const mask = findByProtoName(input, 'update_mask');
  const isMask = mask?.fieldKind === 'message' && mask.message.typeName === 'google.protobuf.FieldMask';
  return rule.verb === 'PATCH' && isMask && !mask.delimitedEncoding && isParent(bodyField) ? mask : undefined;
}

/**
 * Paths, in proto names, of what a JSON body mentions, null included. Lists, maps, well-known types and messages
 * that are null or empty are named whole. What the URL sets (`bound`) is not changed, so it is not named.
 */
export function mentionedPaths(
  type: DescMessage,
  body: JsonObject,
  bound: JsonObject,
  prefix = '',
): string[] {
  return Object.entries(body).flatMap(([name, value]) => {
    const field = findField(type, name);
    if (field === undefined) return [];
    const path = prefix + field.name;
    const set = ownMember(bound, field.jsonName);
    if (isParent(field) && isObject(value) && Object.keys(value).length > 0) {
      return mentionedPaths(field.message, value, isObject(set) ? set : {}, `${path}.`);
    }
    return set === undefined ? [path] : [];
  });
}

/**
 * The message with its mask field set to `paths`. Written on the wire and not into the JSON, where a mask's paths are in
 * lowerCamelCase: names such as `line_1` do not survive that.
 */
export function withMask(message: Uint8Array, field: DescField, paths: readonly string[]): Uint8Array {
  const mask = new BinaryWriter();
  for (const path of paths) mask.tag(1, WireType.LengthDelimited).string(path);
  return new BinaryWriter()
    .raw(message)
    .tag(field.number, WireType.LengthDelimited)
    .bytes(mask.finish())
    .finish();
}
