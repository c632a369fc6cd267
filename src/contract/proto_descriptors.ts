/** A contract as protobufjs parsed it, as the same FileDescriptorProtos that protoc would write. */
import { create } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  Edition,
  type EnumDescriptorProto,
  EnumDescriptorProtoSchema,
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileOptionsSchema,
  MessageOptionsSchema,
  type MethodDescriptorProto,
  MethodDescriptorProtoSchema,
  MethodOptionsSchema,
  OneofOptionsSchema,
  type ServiceDescriptorProto,
  ServiceDescriptorProtoSchema,
  ServiceOptionsSchema,
  type SourceCodeInfo,
  SourceCodeInfoSchema,
} from '@bufbuild/protobuf/wkt';
import protobuf from 'protobufjs';
import { member, PATH, placeIn } from './contents.js';
import type { ContractProblem } from './contract.js';
import { describeField, describeMapEntry } from './proto_fields.js';
import type { ProtoFile } from './proto_files.js';
import { Imports } from './proto_imports.js';
import {
  fullName,
  isEnum,
  isExtension,
  isMapField,
  isService,
  isType,
  ProtoNames,
  topLevel,
} from './proto_names.js';
import { encodeOptions, type OptionContext, type Statements } from './proto_options.js';

/**
 * Every object of the parsed contract, sorted back into the files it came from (protobufjs keeps one tree for all).
 * Names that resolve to nothing and options that cannot be encoded are added to `problems`.
 *
 * What protobufjs itself does not keep is lost here too, none of which a gateway reads: options of extension ranges, all
 * but the last value of an enum value's repeated option, string escapes other than \n \r \t \0 and \\, and the last
 * digits of integers above 2^53. A descriptor set has them all.
 */
export function describeParsed(
  root: protobuf.Root,
  files: readonly ProtoFile[],
  problems: ContractProblem[],
): FileDescriptorProto[] {
  const names = new ProtoNames(root);
  const byPath = new Map<string, protobuf.ReflectionObject[]>(files.map(({ path }) => [path, []]));
  for (const object of topLevel(root)) byPath.get(object.filename ?? '')?.push(object);
  return files.map((file) => {
    const imports = new Imports(file, { names, files, problems });
    return new FileDescriber(file, { names, imports, problems }).file(byPath.get(file.path) ?? []);
  });
}

interface DescribingFile {
  readonly names: ProtoNames;
  readonly imports: Imports;
  readonly problems: ContractProblem[];
}

class FileDescriber {
  constructor(
    readonly source: ProtoFile,
    readonly around: DescribingFile,
  ) {}

  file(objects: readonly protobuf.ReflectionObject[]): FileDescriptorProto {
    const { name, text, dependencies } = this.source;
    const file = create(FileDescriptorProtoSchema, {
      name,
      dependency: [...dependencies],
      publicDependency: this.#importsOf('public'),
      weakDependency: this.#importsOf('weak'),
      messageType: objects.filter(isType).map((type) => this.#message(type)),
      enumType: objects.filter(isEnum).map((type) => this.#enum(type)),
      extension: objects
        .filter(isExtension)
        .map((field) => describeField(field, this.#context(field, field.parent))),
      service: objects.filter(isService).map((service) => this.#service(service)),
    });
    if (text.package !== '') file.package = text.package;
    file.sourceCodeInfo = this.#lines(file);
    if (text.syntax !== 'proto2') file.syntax = text.syntax === 'proto3' ? 'proto3' : 'editions';
    if (file.syntax === 'editions') file.edition = Edition.EDITION_2023;
    const options = encodeOptions(FileOptionsSchema, this.#fileStatements(), this.#fileContext());
    if (options) file.options = options;
    return file;
  }

  #importsOf(kind: 'public' | 'weak'): number[] {
    return this.source.text.imports.flatMap((wanted, index) => (wanted.kind === kind ? [index] : []));
  }

  /** protobufjs merges the options of all files of a package; parsing this file's alone keeps them apart. */
  #fileStatements(): Statements {
    const { options } = this.source.text;
    if (options === '') return [];
    const root = new protobuf.Root();
    try {
      protobuf.parse(`syntax = "proto3";\n${options}`, root, { keepCase: true });
    } catch (error) {
      // Taken as a whole, the file could be read: a string that is not closed, for example, ends with the next one.
      const why = String(error instanceof Error ? error.message : error).replace(/ \(line \d+\)$/, '');
      const problem = `the options of the file cannot be read: ${why}`;
      this.around.problems.push({ source: { file: this.source.name }, problem });
    }
    return (root.parsedOptions ?? []) as Statements;
  }

  #fileContext(): OptionContext {
    // A file's options are looked up from inside its package, which this stands for.
    const scope = new protobuf.Root().define(this.source.text.package || 'tidegate.none');
    return this.#contextOf({ scope, name: '', line: undefined });
  }

  #context(object: protobuf.ReflectionObject, scope: protobuf.ReflectionObject | null): OptionContext {
    const name = fullName(object);
    return this.#contextOf({ scope, name, line: this.source.text.lines.get(name) });
  }

  #contextOf({ scope, name, line }: Described): OptionContext {
    const { names, imports, problems } = this.around;
    const file = this.source.name;
    const reportFor = (what: string) => (problem: string, rule: string) => {
      const source = { file, ...(line !== undefined && { line }) };
      const text = name === '' ? problem : `${name}: ${problem}`;
      problems.push({ source, rule, problem: text, cause: [file, what || rule, problem].join('\n') });
    };
    return {
      names,
      report: reportFor(''),
      type: (type, rule) =>
        imports.type({ name: type, scope, line, report: (problem) => reportFor(type)(problem, rule) }),
      extension: (option) => {
        const rule = `option (${option})`;
        return imports.extension({
          name: option,
          scope,
          line,
          report: (problem) => reportFor('')(problem, rule),
        });
      },
    };
  }

  #message(type: protobuf.Type): DescriptorProto {
    const fields = type.fieldsArray.filter((field) => !field.declaringField);
    const oneofs = [
      ...type.oneofsArray.filter((oneof) => !isSynthetic(oneof)),
      ...type.oneofsArray.filter(isSynthetic),
    ];
    const nested = type.nestedArray;
    const message = create(DescriptorProtoSchema, {
      name: type.name,
      field: fields.map((field) => {
        const described = describeField(field, this.#context(field, type));
        if (field.partOf) described.oneofIndex = oneofs.indexOf(field.partOf);
        return described;
      }),
      extension: nested.filter(isExtension).map((field) => describeField(field, this.#context(field, type))),
      nestedType: [
        ...nested.filter(isType).map((inner) => this.#message(inner)),
        ...fields
          .flatMap((field) => (isMapField(field) ? [field] : []))
          .map((field) => describeMapEntry(field, this.#context(field, type))),
      ],
      enumType: nested.filter(isEnum).map((inner) => this.#enum(inner)),
      extensionRange: (type.extensions ?? []).map(([start, end]) => ({
        start: start as number,
        end: rangeEnd(type, end as number),
      })),
      oneofDecl: oneofs.map((oneof) => this.#oneof(oneof, type)),
      ...reserved(type.reserved, (end) => end + 1),
    });
    const options = encodeOptions(
      MessageOptionsSchema,
      type.parsedOptions as never,
      this.#context(type, type),
    );
    if (options) message.options = options;
    return message;
  }

  #oneof(oneof: protobuf.OneOf, type: protobuf.Type): { name: string } {
    const options = encodeOptions(
      OneofOptionsSchema,
      oneof.parsedOptions as never,
      this.#context(oneof, type),
    );
    return { name: oneof.name, ...(options && { options }) };
  }

  #enum(type: protobuf.Enum): EnumDescriptorProto {
    const described = create(EnumDescriptorProtoSchema, {
      name: type.name,
      value: Object.entries(type.values).map(([name, number]) => {
        const statements = nestStatements(type.valuesOptions?.[name]);
        const options = encodeOptions(EnumValueOptionsSchema, statements, this.#context(type, type.parent));
        return { name, number, ...(options && { options }) };
      }),
      // Ranges of enums include their end, and theirs is the largest int32 where fields have the largest number.
      ...reserved(type.reserved, (end) => (end === 536_870_911 ? 2_147_483_647 : end)),
    });
    const options = encodeOptions(EnumOptionsSchema, type.parsedOptions as never, this.#context(type, type));
    if (options) described.options = options;
    return described;
  }

  #service(service: protobuf.Service): ServiceDescriptorProto {
    const described = create(ServiceDescriptorProtoSchema, {
      name: service.name,
      method: service.methodsArray.map((method) => this.#method(method, service)),
    });
    const options = encodeOptions(
      ServiceOptionsSchema,
      service.parsedOptions as never,
      this.#context(service, service),
    );
    if (options) described.options = options;
    return described;
  }

  #method(method: protobuf.Method, service: protobuf.Service): MethodDescriptorProto {
    const context = this.#context(method, service);
    const described = create(MethodDescriptorProtoSchema, {
      name: method.name,
      inputType: this.#messageName(method.requestType, context),
      outputType: this.#messageName(method.responseType, context),
    });
    if (method.requestStream) described.clientStreaming = true;
    if (method.responseStream) described.serverStreaming = true;
    const options = encodeOptions(MethodOptionsSchema, method.parsedOptions, context);
    if (options) described.options = options;
    return described;
  }

  #messageName(name: string, { type, report }: OptionContext): string {
    const found = type(name, name);
    if (found && isType(found)) return `.${fullName(found)}`;
    if (found) report('a method takes and returns messages, and this is an enum', name);
    return '';
  }

  /** Of services and methods, as in protoc's source info; lines there count from 0. */
  #lines(file: FileDescriptorProto): SourceCodeInfo {
    const places = file.service.flatMap((service, at) => {
      const place = placeIn(file, PATH.file.service, at, service.name);
      const methods = service.method.map(({ name }, index) =>
        member(place, PATH.service.method, index, name),
      );
      return [place, ...methods];
    });
    return create(SourceCodeInfoSchema, {
      location: places.map(({ name, path }) => {
        const line = (this.source.text.lines.get(name) ?? 1) - 1;
        return { path: [...path], span: [line, 0, 0] };
      }),
    });
  }
}

/** What problems are about. */
interface Described {
  /** Where its names are looked up from. */
  readonly scope: protobuf.ReflectionObject | null;
  /** Empty for the file. */
  readonly name: string;
  readonly line: number | undefined;
}

/** The oneof that stands for `optional` in proto3; in descriptors such ones come last. */
function isSynthetic(oneof: protobuf.OneOf): boolean {
  const [only, other] = oneof.fieldsArray;
  return only !== undefined && other === undefined && only.options?.proto3_optional === true;
}

/** `max` of a message set is larger than that of other messages. */
function rangeEnd(type: protobuf.Type, inclusive: number): number {
  const inSet = type.options?.message_set_wire_format === true;
  return inSet && inclusive === 536_870_911 ? 2_147_483_647 : inclusive + 1;
}

function reserved(ranges: readonly (string | number[])[] | undefined, end: (inclusive: number) => number) {
  const reservedName: string[] = [];
  const reservedRange: { start: number; end: number }[] = [];
  for (const range of ranges ?? []) {
    if (typeof range === 'string') reservedName.push(range);
    else reservedRange.push({ start: range[0] as number, end: end(range[1] as number) });
  }
  return { reservedName, reservedRange };
}

/** Options of enum values come flat: `{ '(tag).name': 'x' }` is the statement `{ '(tag)': { name: 'x' } }`. */
function nestStatements(flat: Readonly<Record<string, unknown>> | undefined): Statements {
  const nested: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(flat ?? {})) {
    const [, option, path] = /^(\([^)]*\)|[^.]+)(?:\.(.*))?$/.exec(name) ?? [];
    if (option === undefined) continue;
    if (path === undefined) nested[option] = value;
    // What is no path at all, or leads into what is no message, is told where names are looked up.
    else if (path === '') asObject(nested, option)[''] = value;
    else if (typeof (nested[option] ?? {}) !== 'object') nested[name] = value;
    else protobuf.util.setProperty(asObject(nested, option), path, value as object);
  }
  return [nested];
}

function asObject(parent: Record<string, unknown>, key: string): Record<string, unknown> {
  parent[key] ??= {};
  return parent[key] as Record<string, unknown>;
}
