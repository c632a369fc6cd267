/** What one source says of a contract, whichever kind of source it is: the one form that all of them produce. */
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';

export interface Described {
  /** For messages: the folder, the file, or the upstream that was asked. */
  readonly origin: string;
  /**
   * The files of a google.protobuf.FileDescriptorSet, in any order, with the exact bytes of custom options as unknown
   * fields. google/protobuf/*.proto may be left out.
   */
  readonly files: readonly FileDescriptorProto[];
  /** Full names of the services to serve; the files may hold others, which were only imported. */
  readonly services: ReadonlySet<string>;
  /** The upstream that listed the services, if one did: nobody else serves them. */
  readonly upstream?: string;
  /** Imported files may be missing as long as no type is: servers do not always know all their files. */
  readonly partial: boolean;
}

/** Full names of all services of a file. */
export function servicesOf(file: FileDescriptorProto): string[] {
  return file.service.map((service) => qualify(file.package, service.name));
}

/** `pkg.Name`, or `Name` without a package. */
export function qualify(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`;
}
