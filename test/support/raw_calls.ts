/** Small things that tests of calls are made of: messages as text, streams read whole, failures caught. */
import type { Message, Reply } from '../../src/call.js';
import { StatusError } from '../../src/status.js';

export const bytes = (text: string): Message => Buffer.from(text);
export const text = (message: unknown): string => Buffer.from(message as Message).toString();

export function stream(reply: Reply): AsyncIterableIterator<Message> {
  return (reply.messages as AsyncIterable<Message>)[Symbol.asyncIterator]() as AsyncIterableIterator<Message>;
}

export async function* from(...messages: string[]): AsyncGenerator<Message> {
  for (const each of messages) yield bytes(each);
}

export async function failure(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof StatusError) return thrown;
    throw thrown;
  }
  throw new Error('it did not fail');
}

/** All messages up to the end or the failure. */
export async function readAll(reply: Reply): Promise<{ texts: string[]; error: StatusError | undefined }> {
  const texts: string[] = [];
  try {
    for await (const message of stream(reply)) texts.push(text(message));
  } catch (thrown) {
    return { texts, error: thrown as StatusError };
  }
  return { texts, error: undefined };
}

/** A promise that a handler settles. */
export function signal<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((it) => {
    resolve = it;
  });
  return { promise, resolve };
}
