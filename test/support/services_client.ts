/** Calls to the example services with the generated grpc-js clients, and what they answer made easy to compare. */
import {
  type CallOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { ChatServiceClient } from '../../gen/chat/v1/chat.js';
import { OrdersServiceClient } from '../../gen/orders/v1/orders.js';
import { QuotesServiceClient } from '../../gen/quotes/v1/quotes.js';
import { ChannelsServiceClient } from '../../gen/tidegate/v1/channels.js';

export function connect(address: string) {
  const insecure = credentials.createInsecure();
  const orders = new OrdersServiceClient(address, insecure);
  const quotes = new QuotesServiceClient(address, insecure);
  const chat = new ChatServiceClient(address, insecure);
  const channels = new ChannelsServiceClient(address, insecure);
  const close = () => {
    for (const client of [orders, quotes, chat, channels]) client.close();
  };
  return { orders, quotes, chat, channels, close };
}

/** Metadata as the gateway sets it. */
export function as(user: string, ...permissions: string[]): Metadata {
  const metadata = new Metadata();
  metadata.set('x-user-id', user);
  metadata.set('x-permissions', permissions.join(','));
  return metadata;
}

type Callback<R> = (error: ServiceError | null, reply: R) => void;
/** All overloads of a generated method: from one of them alone, its types are not inferred. */
interface Unary<Q, R> {
  (request: Q, callback: Callback<R>): ClientUnaryCall;
  (request: Q, metadata: Metadata, callback: Callback<R>): ClientUnaryCall;
  (request: Q, metadata: Metadata, options: Partial<CallOptions>, callback: Callback<R>): ClientUnaryCall;
}

/** `ask(client, client.getOrder, request)`: the reply, or a rejection with grpc-js's error. */
export function ask<Q, R>(
  client: object,
  method: Unary<Q, R>,
  request: Q,
  metadata = new Metadata(),
): Promise<R> {
  return new Promise((resolve, reject) => {
    const call: (request: Q, metadata: Metadata, callback: Callback<R>) => unknown = method.bind(client);
    call(request, metadata, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

/** Resolves when the stream is accepted, with the position that its headers tell. */
export function accepted(stream: ClientReadableStream<unknown>): Promise<string> {
  return new Promise((resolve, reject) => {
    stream.on('metadata', (headers: Metadata) => resolve(`${headers.get('tidegate-position')[0]}`));
    stream.on('error', reject);
  });
}

/**
 * The next `count` messages of a stream, which goes on afterwards. Rejects when it ends or fails before; how it ends after
 * that goes unnoticed, unless it is drained.
 */
export async function take<R>(stream: ClientReadableStream<R>, count: number): Promise<R[]> {
  const messages: R[] = [];
  stream.on('error', () => {});
  const iterator = (stream as unknown as { iterator(options: object): AsyncIterator<R> }).iterator({
    destroyOnReturn: false,
  });
  while (messages.length < count) {
    const { value, done } = await iterator.next();
    if (done) throw new Error(`the stream ended after ${messages.length} messages`);
    messages.push(value);
  }
  await iterator.return?.();
  return messages;
}

/** All messages until the stream ends, and how it ended. */
export async function drain<R>(
  stream: ClientReadableStream<R>,
): Promise<{ messages: R[]; error?: ServiceError }> {
  const messages: R[] = [];
  try {
    for await (const message of stream) messages.push(message as R);
  } catch (error) {
    return { messages, error: error as ServiceError };
  }
  return { messages };
}

const RPC = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
  message FieldViolation { string field = 1; string description = 2; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message ResourceInfo { string resource_type = 1; string resource_name = 2; string owner = 3; string description = 4; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
`).root;

export interface Refusal {
  readonly code: number;
  readonly message: string;
  /** By the simple name of their type. */
  readonly details: Record<string, Record<string, unknown>>;
}

/** What a rejected call was told, with the google.rpc details of its trailer decoded by another library than encoded them. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  const error = await call.then(
    () => Promise.reject(new Error('the call succeeded')),
    (thrown: ServiceError) => thrown,
  );
  return refusal(error);
}

export function refusal(error: ServiceError): Refusal {
  const read = (name: string, bytes: Uint8Array) => {
    const type = RPC.lookupType(`google.rpc.${name}`);
    return type.toObject(type.decode(bytes), { longs: Number }) as Record<string, unknown>;
  };
  const details: Refusal['details'] = {};
  const [trailer] = error.metadata.get('grpc-status-details-bin');
  if (trailer instanceof Buffer) {
    const status = read('Status', trailer) as {
      code: number;
      message: string;
      details: { typeUrl: string; value: Uint8Array }[];
    };
    if (status.code !== error.code || status.message !== error.details)
      throw new Error('the trailer tells another status');
    for (const { typeUrl, value } of status.details) {
      const name = typeUrl.replace('type.googleapis.com/google.rpc.', '');
      details[name] = read(name, value);
    }
  }
  return { code: error.code, message: error.details, details };
}

/** Resolves as soon as the condition holds; rejects after two seconds. */
export async function eventually(holds: () => boolean): Promise<void> {
  const end = Date.now() + 2_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`did not become true: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
