/** A client for every door, behind one interface, so that one list of behaviours can be tried on all of them. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';

export interface Outcome {
  /** The messages that arrived, as JSON values. */
  readonly messages: readonly unknown[];
  /** How the call ended: a gRPC code; `cut` when the connection broke without a word. */
  readonly code: number | 'cut';
  readonly message: string;
  readonly details: readonly unknown[];
  /** The HTTP status, if one was seen. */
  readonly http?: number | undefined;
  /** The WebSocket close code, if the socket was closed by the gateway. */
  readonly close?: number | undefined;
}

export interface Session {
  /** Resolves with the first message; rejects if the call ends before. */
  readonly first: Promise<unknown>;
  readonly outcome: Promise<Outcome>;
  /** Breaks the connection off, as a client does that is gone. */
  leave(): void;
}

export interface OpenOptions {
  readonly token?: string;
  /** Sent as a deadline in whatever way the door has. */
  readonly timeoutMs?: number;
  /** Never reads what arrives. */
  readonly stalled?: boolean;
}

export interface DoorClient {
  readonly name: string;
  /** Whether it receives a stream of messages (`…:watch`) or one (`…`). */
  readonly streams: boolean;
  /** `path` without `:watch`; the door adds it. */
  open(port: number, path: string, options?: OpenOptions): Session;
}

interface Status {
  readonly code: number;
  readonly message: string;
  readonly details: readonly unknown[];
}

/** Collects messages and the end of one call. */
class Recorder {
  readonly messages: unknown[] = [];
  readonly first: Promise<unknown>;
  readonly outcome: Promise<Outcome>;
  private resolveFirst!: (message: unknown) => void;
  private rejectFirst!: (error: Error) => void;
  private resolveOutcome!: (outcome: Outcome) => void;

  constructor() {
    this.first = new Promise((resolve, reject) => {
      this.resolveFirst = resolve;
      this.rejectFirst = reject;
    });
    this.first.catch(() => undefined);
    this.outcome = new Promise((resolve) => {
      this.resolveOutcome = resolve;
    });
  }

  add(message: unknown): void {
    this.messages.push(message);
    this.resolveFirst(message);
  }

  end(
    status: Status | undefined,
    seen: { http?: number | undefined; close?: number | undefined } = {},
  ): void {
    const { messages } = this;
    this.rejectFirst(new Error(`ended before the first message: ${JSON.stringify(status)}`));
    if (status === undefined)
      this.resolveOutcome({ messages, code: 'cut', message: '', details: [], ...seen });
    else this.resolveOutcome({ messages, ...status, ...seen });
  }
}

const OK: Status = { code: 0, message: '', details: [] };

interface HttpDoor {
  readonly name: string;
  readonly streams: boolean;
  readonly accept: string;
  /** Takes what has arrived since the last call; returns what it could not read yet. */
  read(text: string, recorder: Recorder, ended: (status: Status) => void): string;
  /** The status of a body that ended well. */
  atEnd(rest: string, recorder: Recorder): Status | undefined;
}

function httpClient(door: HttpDoor): DoorClient {
  return {
    name: door.name,
    streams: door.streams,
    open: (port, path, { token, timeoutMs, stalled } = {}) => {
      const recorder = new Recorder();
      const headers: Record<string, string> = { accept: door.accept };
      if (token !== undefined) headers.authorization = `Bearer ${token}`;
      if (timeoutMs !== undefined) headers['grpc-timeout'] = `${timeoutMs}m`;
      const target = door.streams ? path.replace(/(\?|$)/, ':watch$1') : path;
      const request = httpRequest(
        { host: '127.0.0.1', port, path: target, headers, agent: false },
        (response) => {
          if (!stalled) readResponse(door, response, recorder);
        },
      );
      request.on('error', () => recorder.end(undefined)).end();
      return { first: recorder.first, outcome: recorder.outcome, leave: () => request.destroy() };
    },
  };
}

function readResponse(door: HttpDoor, response: IncomingMessage, recorder: Recorder): void {
  const http = response.statusCode;
  let text = '';
  let status: Status | undefined;
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
    if (http === 200) text = door.read(text, recorder, (end) => (status = end));
  });
  response.on('end', () => {
    const refused = http !== 200;
    recorder.end(refused ? (JSON.parse(text) as Status) : (status ?? door.atEnd(text, recorder)), { http });
  });
  response.on('error', () => recorder.end(undefined, { http }));
}

const rest = httpClient({
  name: 'REST',
  streams: false,
  accept: 'application/json',
  read: (text) => text,
  atEnd: (text, recorder) => {
    recorder.add(JSON.parse(text));
    return OK;
  },
});

const ndjson = httpClient({
  name: 'NDJSON',
  streams: true,
  accept: 'application/x-ndjson',
  read: (text, recorder, ended) => {
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      const value = JSON.parse(line) as { error?: Status };
      if (value.error === undefined) recorder.add(value);
      else ended(value.error);
    }
    return rest;
  },
  atEnd: (rest) => (rest === '' ? OK : undefined),
});

const array = httpClient({
  name: 'JSON array',
  streams: true,
  accept: 'application/json',
  read: (text, recorder) => {
    // The door writes one element a chunk: enough to see the first one before the array is whole.
    const element = /^[[,](\{.*\})$/s.exec(text);
    if (element === null) return text;
    recorder.add(JSON.parse(element[1] as string));
    return '';
  },
  atEnd: (text, recorder) => {
    if (!text.endsWith(']')) return undefined;
    const elements = text.replace(/^,/, '[');
    if (elements !== ']') for (const value of JSON.parse(elements) as unknown[]) recorder.add(value);
    return OK;
  },
});

const sse = httpClient({
  name: 'SSE',
  streams: true,
  accept: 'text/event-stream',
  read: (text, recorder, ended) => {
    const blocks = text.split('\n\n');
    const rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = /^event: ?(.*)$/m.exec(block)?.[1];
      const data = /^data: ?(.*)$/m.exec(block)?.[1];
      if (event === undefined || data === undefined || event === 'open') continue;
      if (event === 'end') ended(JSON.parse(data) as Status);
      else if (event === 'drain') ended({ code: 14, message: 'drain', details: [] });
      else recorder.add(JSON.parse(data));
    }
    return rest;
  },
  atEnd: () => undefined,
});

/** What a WebSocket on a route sends last before a close that is not 1000: `{"error": google.rpc.Status}`. */
function routeSocket(streams: boolean): DoorClient {
  return {
    name: streams ? 'WebSocket on a route, stream' : 'WebSocket on a route',
    streams,
    open: (port, path, { token, timeoutMs, stalled } = {}) => {
      const recorder = new Recorder();
      const headers: Record<string, string> = {};
      if (token !== undefined) headers.authorization = `Bearer ${token}`;
      if (timeoutMs !== undefined) headers['grpc-timeout'] = `${timeoutMs}m`;
      const target = streams ? path.replace(/(\?|$)/, ':watch$1') : path;
      const socket = new WebSocket(`ws://127.0.0.1:${port}${target}`, { headers });
      let status: Status | undefined;
      if (stalled) socket.on('open', () => socket.pause());
      socket.on('unexpected-response', (_, response) => {
        readResponse({ ...refusal, name: '', streams }, response, recorder);
      });
      socket.on('message', (data: Buffer) => {
        const value = JSON.parse(data.toString()) as { error?: Status };
        if (value.error === undefined) recorder.add(value);
        else status = value.error;
      });
      socket.on('close', (close) => recorder.end(close === 1000 ? OK : status, { close }));
      socket.on('error', () => undefined);
      return { first: recorder.first, outcome: recorder.outcome, leave: () => socket.terminate() };
    },
  };
}

const refusal: Omit<HttpDoor, 'name' | 'streams'> = {
  accept: '',
  read: (text) => text,
  atEnd: () => undefined,
};

/** One call on a socket that could carry many, by its JSON frames. */
function multiplexed(streams: boolean): DoorClient {
  return {
    name: streams ? 'multiplexed WebSocket, stream' : 'multiplexed WebSocket',
    streams,
    open: (port, path, { token, timeoutMs, stalled } = {}) => {
      const recorder = new Recorder();
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ['tidegate.v1.json']);
      const send = (frame: object): void => socket.send(JSON.stringify(frame));
      const target = streams ? path.replace(/(\?|$)/, ':watch$1') : path;
      let status: Status | undefined;
      socket.on('open', () => {
        send({ type: 'hello', ...(token === undefined ? {} : { token }) });
        const deadline = timeoutMs === undefined ? {} : { deadline_ms: timeoutMs };
        send({ type: 'open', sid: 1, route: `GET ${target}`, ...deadline });
        if (stalled) socket.pause();
      });
      socket.on('message', (data: Buffer) => {
        for (const line of data.toString().split('\n')) {
          const frame = JSON.parse(line) as { type: string; data?: unknown; status?: Status };
          if (frame.type === 'msg') recorder.add(frame.data);
          if (frame.type === 'end') {
            status = frame.status;
            recorder.end(status);
            socket.close();
          }
        }
      });
      socket.on('close', (close) => recorder.end(undefined, { close }));
      socket.on('error', () => undefined);
      return { first: recorder.first, outcome: recorder.outcome, leave: () => socket.terminate() };
    },
  };
}

/** Every way in. */
export const DOORS: readonly DoorClient[] = [
  rest,
  ndjson,
  array,
  sse,
  routeSocket(false),
  routeSocket(true),
  multiplexed(false),
  multiplexed(true),
];
