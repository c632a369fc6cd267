/**
 * The messages of grpc.reflection.v1 and v1alpha, which are the same on the wire, as far as a server needs them.
 * Source: field numbers of grpc/reflection/v1/reflection.proto.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** ServerReflectionRequest.message_request. */
export type Question =
  | {
      readonly kind: 'fileByFilename' | 'fileContainingSymbol' | 'allExtensionNumbersOfType';
      readonly name: string;
    }
  | { readonly kind: 'fileContainingExtension'; readonly name: string; readonly number: number }
  | { readonly kind: 'listServices' }
  | { readonly kind: 'nothing' };

export interface ReflectionRequest {
  readonly host: string;
  readonly question: Question;
  /** As it came: every response repeats its request. */
  readonly bytes: Uint8Array;
}

/** ServerReflectionResponse.message_response. */
export type Answer =
  | { readonly kind: 'files'; readonly files: readonly Uint8Array[] }
  | { readonly kind: 'extensionNumbers'; readonly name: string; readonly numbers: readonly number[] }
  | { readonly kind: 'services'; readonly names: readonly string[] }
  | { readonly kind: 'error'; readonly code: number; readonly message: string };

export function decodeRequest(bytes: Uint8Array): ReflectionRequest {
  const reader = new BinaryReader(bytes);
  let host = '';
  let question: Question = { kind: 'nothing' };
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (wire !== WireType.LengthDelimited) reader.skip(wire, field);
    else if (field === 1) host = reader.string();
    else if (field === 3) question = { kind: 'fileByFilename', name: reader.string() };
    else if (field === 4) question = { kind: 'fileContainingSymbol', name: reader.string() };
    else if (field === 5) question = decodeExtension(reader.bytes());
    else if (field === 6) question = { kind: 'allExtensionNumbersOfType', name: reader.string() };
    else if (field === 7) question = skipped(reader, { kind: 'listServices' });
    else reader.skip(wire, field);
  }
  return { host, question, bytes };
}

/** The text of list_services means nothing. */
function skipped(reader: BinaryReader, question: Question): Question {
  reader.bytes();
  return question;
}

/** ExtensionRequest: containing_type = 1, extension_number = 2. */
function decodeExtension(bytes: Uint8Array): Question {
  const reader = new BinaryReader(bytes);
  let name = '';
  let number = 0;
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1 && wire === WireType.LengthDelimited) name = reader.string();
    else if (field === 2 && wire === WireType.Varint) number = reader.int32();
    else reader.skip(wire, field);
  }
  return { kind: 'fileContainingExtension', name, number };
}

export function encodeResponse(request: ReflectionRequest, answer: Answer): Uint8Array {
  const writer = new BinaryWriter().uint32(10).string(request.host).uint32(18).bytes(request.bytes);
  switch (answer.kind) {
    case 'files':
      writer.uint32(34).fork();
      for (const file of answer.files) writer.uint32(10).bytes(file);
      return writer.join().finish();
    case 'extensionNumbers':
      writer.uint32(42).fork().uint32(10).string(answer.name).uint32(18).fork();
      for (const number of answer.numbers) writer.int32(number);
      return writer.join().join().finish();
    case 'services':
      writer.uint32(50).fork();
      for (const name of answer.names) writer.uint32(10).fork().uint32(10).string(name).join();
      return writer.join().finish();
    case 'error':
      writer.uint32(58).fork().uint32(8).int32(answer.code).uint32(18).string(answer.message);
      return writer.join().finish();
  }
}
