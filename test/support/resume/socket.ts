/** WebSockets with many calls, as a resumable client uses them: one call each, in either encoding of the frames. */
import { WebSocket } from 'ws';
import type { ResetReason } from '../../../src/stream/feed.js';
import { type Ask, type Comeback, type Connection, type Door, eventOf, type Listener } from './client.js';
import { decodeJson, decodeProto, encodeJson, encodeProto, type Frame } from './frames.js';

interface Encoding {
  readonly subprotocol: string;
  encode(frame: Frame): string | Uint8Array;
  decode(data: Buffer): Frame[];
}

const JSON_FRAMES: Encoding = { subprotocol: 'tidegate.v1.json', encode: encodeJson, decode: decodeJson };
const PROTO_FRAMES: Encoding = { subprotocol: 'tidegate.v1.proto', encode: encodeProto, decode: decodeProto };

export const jsonSocket: Door = { name: 'WebSocket', connect: connectWith(JSON_FRAMES) };
export const protoSocket: Door = { name: 'binary WebSocket', connect: connectWith(PROTO_FRAMES) };

/** What a close code advises, by its range (PROTOCOL.md, Close codes). */
function adviceOf(code: number): Comeback {
  return (code >= 4000 && code < 4100) || (code >= 4300 && code < 4400) ? 'never' : 'jitter';
}

function connectWith(encoding: Encoding) {
  return ({ port, path, token, cursor }: Ask, listener: Listener): Connection => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, [encoding.subprotocol], {
      perMessageDeflate: false,
    });
    const call: Call = { listener, heartbeatMs: 0 };
    const send = (frame: Frame): void => socket.send(encoding.encode(frame));
    let over = false;
    socket.on('open', () => {
      send({ type: 'hello', features: ['resume'], ...(token === undefined ? {} : { token }) });
      send({ type: 'open', sid: 1, route: `GET ${path}`, ...(cursor === undefined ? {} : { cursor }) });
    });
    socket.on('unexpected-response', (_, response) => {
      listener.tell({ kind: 'refused', status: response.statusCode ?? 0 });
      if (response.statusCode !== 503) call.comeback = 'never';
      socket.terminate();
    });
    socket.on('message', (data: Buffer) => {
      for (const frame of encoding.decode(data)) {
        if (over) return;
        if (frame.type === 'ping') send({ type: 'pong' });
        take(call, frame, () => socket.close());
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      over = true;
      clearTimeout(call.timer);
      listener.over(call.comeback ?? adviceOf(code));
    });
    const cut = (): void => {
      over = true;
      socket.terminate();
    };
    return { cut, cutInside: cut };
  };
}

interface Call {
  readonly listener: Listener;
  heartbeatMs: number;
  comeback?: Comeback;
  timer?: NodeJS.Timeout;
}

/** Tells what a frame means. */
function take(call: Call, frame: Frame, close: () => void): void {
  const { tell } = call.listener;
  const cursor = frame.cursor ?? '';
  switch (frame.type) {
    case 'welcome':
      call.heartbeatMs = frame.heartbeat_ms ?? 0;
      return;
    case 'opened':
      tell({ kind: 'open', cursor, resumed: frame.resumed === true, heartbeatMs: call.heartbeatMs });
      return;
    case 'msg':
      tell({ kind: 'message', cursor, event: eventOf(frame.data) });
      return;
    case 'bookmark':
    case 'caught_up':
      tell({ kind: frame.type, cursor });
      return;
    case 'reset':
      tell({ kind: 'reset', cursor, reason: frame.reason as ResetReason });
      return;
    case 'ping':
      tell({ kind: 'heartbeat' });
      return;
    case 'goaway':
      // The stream goes on for as long as the gateway lets it; the client leaves at its own time and comes back at once.
      call.comeback = { afterMs: 0 };
      call.timer = setTimeout(close, frame.reconnect_after_ms ?? 0);
      return;
    case 'end': {
      const code = frame.status?.code ?? 0;
      tell({ kind: 'end', code });
      call.comeback ??= [4, 8, 10, 14].includes(code) ? 'jitter' : 'never';
      close();
    }
  }
}
