/** Long polling as a resumable client uses it: one request after another, each behind the last answer. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { ResetReason } from '../../../src/stream/feed.js';
import { type Ask, type Comeback, type Connection, type Door, eventOf, type Listener } from './client.js';

const WAIT = '10s';

export const longPoll: Door = { name: 'long poll', connect };

function connect({ port, path, token, cursor }: Ask, listener: Listener): Connection {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  if (cursor !== undefined) headers['last-event-id'] = cursor;
  let comeback: Comeback = 'jitter';
  let over = false;
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    path: `${path}?wait=${WAIT}`,
    headers,
    agent: false,
  });
  const end = (): void => {
    if (over) return;
    over = true;
    request.destroy();
    listener.over(comeback);
  };
  request.on('error', end).on('close', end);
  request.on('response', (response: IncomingMessage) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('error', end).on('close', end);
    response.on('data', (chunk: string) => {
      text += chunk;
    });
    response.on('end', () => {
      if (over) return;
      const status = response.statusCode ?? 0;
      if (status === 200) comeback = take(text, listener);
      else listener.tell({ kind: 'refused', status });
      // 204: the stream is over. What the client itself did wrong goes wrong again.
      if (status === 204 || (status >= 400 && status < 500 && status !== 429)) comeback = 'never';
      end();
    });
  });
  request.end();
  return { cut: end, cutInside: end };
}

interface Batch {
  readonly cursor: string;
  readonly resumed: boolean;
  readonly reset?: ResetReason;
  readonly messages: readonly unknown[];
  /** How the stream ended, if it did. */
  readonly end?: { readonly code: number };
}

/** Tells what an answer holds; answers how to come back. */
function take(text: string, { tell }: Listener): Comeback {
  const { cursor, resumed, reset, messages, end } = JSON.parse(text) as Batch;
  tell({ kind: 'open', cursor: '', resumed, heartbeatMs: 0 });
  if (reset !== undefined) tell({ kind: 'reset', reason: reset, cursor });
  for (const message of messages) tell({ kind: 'message', cursor: '', event: eventOf(message) });
  tell({ kind: 'bookmark', cursor });
  tell(end === undefined ? { kind: 'answered' } : { kind: 'end', code: end.code });
  return end === undefined ? { afterMs: 0 } : 'jitter';
}
