/** Files that need each other, as packages can that a server describes as one file each: taken apart until none do. */
import { create } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { referencesOf, typeNames } from './declarations.js';

/** Files in a circle become files of as few declarations as may be; the others stay. Names must be absolute. */
export function separateCycles(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const needs = neededBy(files);
  const circular = new Set(
    components(files, needs)
      .filter(({ length }) => length > 1)
      .flat(),
  );
  return files.flatMap((file) => (circular.has(file) ? separate(file) : [file]));
}

/** For each file, those others whose types it uses. */
function neededBy(files: readonly FileDescriptorProto[]) {
  const owners = new Map(files.flatMap((file) => [...typeNames(file)].map((name) => [name, file] as const)));
  return (file: FileDescriptorProto): FileDescriptorProto[] => {
    const used = [...referencesOf(file)].flatMap(({ type }) => owners.get(type) ?? []);
    return [...new Set(used)].filter((other) => other !== file);
  };
}

/** One file for every declaration, but for those that need each other: they stay together. */
function separate(file: FileDescriptorProto): FileDescriptorProto[] {
  const part = (members: Partial<Pick<FileDescriptorProto, Member>>) => {
    const { package: pkg, syntax, edition, options, dependency } = file;
    const kept = { package: pkg, syntax, edition, dependency, ...(options && { options }) };
    return create(FileDescriptorProtoSchema, { ...kept, ...members });
  };
  const parts = [
    ...file.messageType.map((message) => part({ messageType: [message] })),
    ...file.enumType.map((type) => part({ enumType: [type] })),
    ...file.extension.map((field) => part({ extension: [field] })),
    ...file.service.map((service) => part({ service: [service] })),
  ];
  return components(parts, neededBy(parts)).map((group, index) => {
    const whole = part(
      Object.fromEntries(MEMBERS.map((kind) => [kind, group.flatMap((one) => [...one[kind]])])),
    );
    whole.name = file.name.replace(/(\.proto)?$/, `.${index + 1}$1`);
    return whole;
  });
}

const MEMBERS = ['messageType', 'enumType', 'extension', 'service'] as const;
type Member = (typeof MEMBERS)[number];

interface Visited {
  readonly order: number;
  /** The first in order of all that can be reached and are not in a component yet. */
  low: number;
  done: boolean;
}

/** Strongly connected components, by Tarjan's algorithm: each after those that it leads to. */
function components<T>(nodes: readonly T[], next: (node: T) => readonly T[]): T[][] {
  const visited = new Map<T, Visited>();
  const open: T[] = [];
  const found: T[][] = [];
  const visit = (node: T): Visited => {
    const self: Visited = { order: visited.size, low: visited.size, done: false };
    visited.set(node, self);
    open.push(node);
    for (const other of next(node)) {
      const seen = visited.get(other) ?? visit(other);
      if (!seen.done) self.low = Math.min(self.low, seen.low);
    }
    if (self.low === self.order) {
      const component = open.splice(open.indexOf(node));
      for (const member of component) (visited.get(member) as Visited).done = true;
      found.push(component);
    }
    return self;
  };
  for (const node of nodes) if (!visited.has(node)) visit(node);
  return found;
}
