/** Names of a parsed contract, resolved by protobuf's own scope rule: the innermost scope that knows the name wins. */
import type protobuf from 'protobufjs';

// Kinds are told by class name and not by instanceof: an installation may hold two copies of protobufjs.
function className(object: protobuf.ReflectionObject): string {
  return (object.constructor as { readonly className?: string }).className ?? '';
}

export const isType = (object: protobuf.ReflectionObject): object is protobuf.Type =>
  className(object) === 'Type';
export const isEnum = (object: protobuf.ReflectionObject): object is protobuf.Enum =>
  className(object) === 'Enum';
export const isService = (object: protobuf.ReflectionObject): object is protobuf.Service =>
  className(object) === 'Service';
export const isMapField = (object: protobuf.ReflectionObject): object is protobuf.MapField =>
  className(object) === 'MapField';
/** A field declared in an `extend` block. */
export const isExtension = (object: protobuf.ReflectionObject): object is protobuf.Field =>
  className(object) === 'Field' && (object as protobuf.Field).extend !== undefined;
const isNamespace = (object: protobuf.ReflectionObject): object is protobuf.Namespace =>
  className(object) === 'Namespace';

// protobufjs keeps both, and leaves them out of its types.
/** Whether a message is the body of a proto2 group. */
export const isGroup = (type: protobuf.Type): boolean =>
  (type as { readonly group?: boolean }).group === true;
export const isRequired = (field: protobuf.FieldBase): boolean =>
  (field as { readonly rule?: string }).rule === 'required';

/** Without protobufjs's leading dot: `pkg.Message`. */
export function fullName(object: protobuf.ReflectionObject): string {
  return object.fullName.replace(/^\./, '');
}

/** Everything declared outside of messages, in the order of the files. */
export function* topLevel(namespace: protobuf.NamespaceBase): Generator<protobuf.ReflectionObject> {
  for (const object of namespace.nestedArray) {
    if (isNamespace(object)) yield* topLevel(object);
    else yield object;
  }
}

/**
 * protobufjs resolves names in an order of its own (absolute names first, then scopes below, then scopes above),
 * which finds another type than protoc when a name is declared in several places.
 */
export class ProtoNames {
  readonly #types = new Map<string, protobuf.Type | protobuf.Enum>();
  readonly #extensions = new Map<string, protobuf.Field>();

  constructor(root: protobuf.Root) {
    for (const object of topLevel(root)) this.#add(object);
  }

  #add(object: protobuf.ReflectionObject): void {
    if (isExtension(object)) this.#extensions.set(fullName(object), object);
    if (isType(object) || isEnum(object)) this.#types.set(fullName(object), object);
    if (isType(object)) for (const nested of object.nestedArray) this.#add(nested);
  }

  /** The message or enum that `name` means inside `scope`, of those that are seen; default all. */
  type(
    scope: protobuf.ReflectionObject | null,
    name: string,
    sees: Sight = () => true,
  ): protobuf.Type | protobuf.Enum | undefined {
    return resolve(this.#types, meanings(scope, name), sees);
  }

  /** The extension field that `name` means inside `scope`, of those that are seen; default all. */
  extension(
    scope: protobuf.ReflectionObject | null,
    name: string,
    sees: Sight = () => true,
  ): protobuf.Field | undefined {
    return resolve(this.#extensions, meanings(scope, name), sees);
  }
}

type Sight = (object: protobuf.ReflectionObject) => boolean;

function resolve<T extends protobuf.ReflectionObject>(
  known: ReadonlyMap<string, T>,
  meanings: Iterable<string>,
  sees: Sight,
): T | undefined {
  for (const meaning of meanings) {
    const found = known.get(meaning);
    if (found && sees(found)) return found;
  }
  return undefined;
}

/** The full names that a name may stand for, the innermost first. */
function* meanings(scope: protobuf.ReflectionObject | null, name: string): Generator<string> {
  if (name.startsWith('.')) {
    yield name.slice(1);
    return;
  }
  let path = scope === null ? '' : fullName(scope);
  while (path !== '') {
    yield `${path}.${name}`;
    path = path.slice(0, Math.max(0, path.lastIndexOf('.')));
  }
  yield name;
}
