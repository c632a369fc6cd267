/** A page that reads a stream with the browser's own EventSource and reports all that happens to it, to a server of the test's. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Happening, History } from '../e2e/properties/history.js';
import { eventOf, now, type Step } from './resume/client.js';

/** Where the page is, on the origin of the gateway. */
export const PAGE_PREFIX = '/proof/';

/** What the page says of one event of its EventSource. */
interface Said {
  readonly type: string;
  readonly data?: string;
  readonly id?: string;
  /** EventSource.readyState: 0 it comes back, 2 it gave up. */
  readonly state: number;
}

export interface PageServer {
  readonly port: number;
  /** What the page has seen so far. */
  readonly history: History;
  readonly last: () => number;
  /** Whether the EventSource has given up. */
  readonly gaveUp: () => boolean;
  close(): void;
}

/** The page's own script: every event in order, one request after another, so that none overtakes. */
const SCRIPT = `
const path = new URLSearchParams(location.search).get('path');
const source = new EventSource(path);
let queue = [];
let sending = false;
async function flush() {
  if (sending) return;
  sending = true;
  while (queue.length > 0) {
    const batch = queue;
    queue = [];
    await fetch('report', { method: 'POST', body: JSON.stringify(batch) }).catch(() => {
      queue = [...batch, ...queue];
      return new Promise((resolve) => setTimeout(resolve, 100));
    });
  }
  sending = false;
}
function say(event) {
  queue.push({ type: event.type, data: event.data, id: event.lastEventId, state: source.readyState });
  flush();
}
for (const name of ['open', 'message', 'bookmark', 'caught_up', 'reset', 'drain', 'end', 'error']) {
  source.addEventListener(name, say);
}
`;

/** Serves the page, and takes its reports. `stream` is the one that the page is told to read. */
export async function startPageServer(client: string, stream: string): Promise<PageServer> {
  const happenings: Happening[] = [];
  const state = { last: 0, gaveUp: false, cursor: '', connecting: false };
  const tell = (step: Step): void => void happenings.push({ ...step, at: now() } as Happening);
  const take = (said: Said): void => {
    if (said.type === 'error') {
      // There are more errors than connections: those of attempts to which no gateway answered.
      if (state.connecting) tell({ kind: 'cut' });
      state.connecting = false;
      state.gaveUp = said.state === 2;
      return;
    }
    // EventSource's own event `open` has no data; the gateway's does.
    const step = said.data === undefined ? undefined : stepOf(said);
    if (step === undefined) return;
    if (!state.connecting) {
      tell({ kind: 'connect', port: 0, ...(state.cursor === '' ? {} : { cursor: state.cursor }) });
      state.connecting = true;
    }
    tell(step);
    if (step.kind === 'message') state.last = step.event.n;
    if ('cursor' in step && step.cursor) state.cursor = step.cursor;
  };
  const server = createServer((request, response) => {
    if (request.method !== 'POST') {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><script>${SCRIPT}</script>`);
      return;
    }
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      for (const said of JSON.parse(body) as Said[]) take(said);
      response.end('ok');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    history: { client, stream, owner: '', happenings },
    last: () => state.last,
    gaveUp: () => state.gaveUp,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function stepOf({ type, data = '', id = '' }: Said): Step | undefined {
  switch (type) {
    case 'open': {
      const { resumed } = JSON.parse(data) as { resumed: boolean };
      // Comments are invisible to a page: it cannot tell how long the connection was silent.
      return { kind: 'open', cursor: id, resumed, heartbeatMs: 0 };
    }
    case 'message':
      return { kind: 'message', cursor: id, event: eventOf(JSON.parse(data)) };
    case 'bookmark':
    case 'caught_up':
      return { kind: type, cursor: id };
    case 'reset':
      return { kind: 'reset', cursor: id, reason: (JSON.parse(data) as { reason: never }).reason };
    // The connection ends after them, which is told by an error.
    default:
      return undefined;
  }
}
