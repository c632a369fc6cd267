/** Server-Sent Events as a resumable client reads them, over node:http: it can break off in the middle of an event. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import type { ResetReason } from '../../../src/stream/feed.js';
import { type Ask, type Comeback, type Connection, type Door, eventOf, type Listener } from './client.js';
import { createEventStreamParser, type StreamItem } from './event_stream.js';

/** Codes that may go better when tried again (PROTOCOL.md, Coming back). */
const RETRYABLE: ReadonlySet<number> = new Set([4, 8, 10, 14]);

export const sse: Door = { name: 'SSE', connect };

function connect({ port, path, token, cursor }: Ask, listener: Listener): Connection {
  const headers: Record<string, string> = { accept: 'text/event-stream' };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  if (cursor !== undefined) headers['last-event-id'] = cursor;
  let comeback: Comeback = 'jitter';
  let cutsInside = false;
  let over = false;
  const request = httpRequest({ host: '127.0.0.1', port, path, headers, agent: false });
  const end = (): void => {
    if (over) return;
    over = true;
    request.destroy();
    listener.over(comeback);
  };
  request.on('error', end).on('close', end);
  request.on('response', (response: IncomingMessage) => {
    if (response.statusCode !== 200) {
      listener.tell({ kind: 'refused', status: response.statusCode ?? 0 });
      // 204 is how a stream that is over is told to an EventSource that comes back.
      if (response.statusCode !== 503) comeback = 'never';
      end();
      return;
    }
    const decoder = new StringDecoder('utf8');
    const parser = createEventStreamParser();
    response.on('error', end).on('close', end);
    response.on('data', (chunk: Buffer) => {
      if (over) return;
      const cut = cutsInside && chunk.length > 1;
      const read = cut ? chunk.subarray(0, 1 + Math.floor(Math.random() * (chunk.length - 1))) : chunk;
      for (const item of parser.push(decoder.write(read))) {
        const told = take(item, listener);
        if (told !== undefined) comeback = told;
        if (item.retry !== undefined && told === undefined) comeback = 'jitter';
      }
      if (cut) end();
    });
  });
  request.end();
  return {
    cut: end,
    cutInside: () => {
      cutsInside = true;
    },
  };
}

/** Tells what an event means; answers how to come back if the connection ends after it. */
function take({ event, data, id = '' }: StreamItem, { tell }: Listener): Comeback | undefined {
  switch (event) {
    case '':
    case 'auth_expiring':
      tell({ kind: 'heartbeat' });
      return undefined;
    case 'open': {
      const { resumed, heartbeatMs } = JSON.parse(data) as { resumed: boolean; heartbeatMs: number };
      tell({ kind: 'open', cursor: id, resumed, heartbeatMs });
      return undefined;
    }
    case 'bookmark':
    case 'caught_up':
      tell({ kind: event, cursor: id });
      return undefined;
    case 'reset':
      tell({ kind: 'reset', cursor: id, reason: (JSON.parse(data) as { reason: ResetReason }).reason });
      return undefined;
    case 'drain': {
      const { reconnectAfterMs } = JSON.parse(data) as { reconnectAfterMs: number };
      tell({ kind: 'drain', reconnectMs: reconnectAfterMs });
      return { afterMs: reconnectAfterMs };
    }
    case 'end': {
      const { code } = JSON.parse(data) as { code: number };
      tell({ kind: 'end', code });
      return RETRYABLE.has(code) ? 'jitter' : 'never';
    }
    default:
      tell({ kind: 'message', cursor: id, event: eventOf(JSON.parse(data)) });
      return undefined;
  }
}
