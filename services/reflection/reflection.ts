/**
 * Server reflection, v1 and v1alpha, that serves descriptors as they are. Re-encoding them through a library that does not
 * know google.api.http would drop the routes, for the sake of which Tidegate asks.
 */
import { type MethodDefinition, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { DescriptorFile, Descriptors } from '../descriptors.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import {
  type Answer,
  decodeRequest,
  encodeResponse,
  type Question,
  type ReflectionRequest,
} from './messages.js';

const VERSIONS = ['v1', 'v1alpha'] as const;

/** `services`: what is listed; what can be asked for by name is all that `descriptors` hold. */
export function createReflection(
  descriptors: Descriptors,
  services: readonly string[],
  { bidi }: Handlers,
): readonly Service[] {
  const serverReflectionInfo = bidi<ReflectionRequest, Uint8Array>((requests) =>
    answers(descriptors, services, requests),
  );
  const implementation: UntypedServiceImplementation = { serverReflectionInfo };
  return VERSIONS.map((version) => ({
    definition: { serverReflectionInfo: definitionOf(version) },
    implementation,
  }));
}

function definitionOf(version: (typeof VERSIONS)[number]): MethodDefinition<ReflectionRequest, Uint8Array> {
  return {
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    requestStream: true,
    responseStream: true,
    requestSerialize: ({ bytes }) => Buffer.from(bytes),
    requestDeserialize: decodeRequest,
    responseSerialize: (bytes) => Buffer.from(bytes),
    responseDeserialize: (bytes) => bytes,
  };
}

async function* answers(
  descriptors: Descriptors,
  services: readonly string[],
  requests: AsyncIterable<ReflectionRequest>,
): AsyncGenerator<Uint8Array, void> {
  const sent = new Set<DescriptorFile>();
  for await (const request of requests) {
    const { question } = request;
    const answer = question.kind === 'listServices' ? listed(services) : find(descriptors, question, sent);
    yield encodeResponse(request, answer);
  }
}

function listed(names: readonly string[]): Answer {
  return { kind: 'services', names };
}

function find(
  { files, symbols, extensions }: Descriptors,
  question: Exclude<Question, { kind: 'listServices' }>,
  sent: Set<DescriptorFile>,
): Answer {
  switch (question.kind) {
    case 'fileByFilename':
      return withImports(files, files.get(question.name), `file ${question.name}`, sent);
    case 'fileContainingSymbol':
      return withImports(files, symbols.get(question.name), `symbol ${question.name}`, sent);
    case 'fileContainingExtension': {
      const { name, number } = question;
      return withImports(files, extensions.get(name)?.get(number), `extension ${number} of ${name}`, sent);
    }
    case 'allExtensionNumbersOfType': {
      const { name } = question;
      if (!symbols.has(name)) return unknown(`type ${name}`);
      const numbers = [...(extensions.get(name)?.keys() ?? [])].sort((a, b) => a - b);
      return { kind: 'extensionNumbers', name, numbers };
    }
    case 'nothing':
      return {
        kind: 'error',
        code: status.INVALID_ARGUMENT,
        message: 'message_request: nothing is asked for',
      };
  }
}

function unknown(what: string): Answer {
  return { kind: 'error', code: status.NOT_FOUND, message: `there is no ${what.slice(0, 200)}` };
}

/** The file, and what it imports as far as this stream has not had it yet. */
function withImports(
  files: Descriptors['files'],
  file: DescriptorFile | undefined,
  what: string,
  sent: Set<DescriptorFile>,
): Answer {
  if (file === undefined) return unknown(what);
  const wanted = new Set([file]);
  // A Set grows while it is walked, so this reaches the imports of imports too.
  for (const { dependencies } of wanted) {
    for (const name of dependencies) {
      const dependency = files.get(name);
      if (dependency !== undefined) wanted.add(dependency);
    }
  }
  const fresh = [...wanted].filter((each) => each === file || !sent.has(each));
  for (const each of fresh) sent.add(each);
  return { kind: 'files', files: fresh.map(({ bytes }) => bytes) };
}
