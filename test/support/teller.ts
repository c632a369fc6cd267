/** The teller of teller.proto: a gRPC server made by hand on HTTP/2, which says around its replies whatever it is told to. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Config } from '../../gateway/config.js';
import { encodeStatus } from '../../src/details.js';
import type { Detail } from '../../src/status.js';
import { startGateway } from './gateway.js';
import { ROOT } from './probe.js';
import { frame, type RawServer, startHttp2Server } from './raw_server.js';

export const TELLER_PROTO = `${ROOT}test/support/contracts/teller.proto`;

/** What the next calls get. */
export interface Telling {
  readonly headers?: OutgoingHttpHeaders;
  /** The texts of the replies; default `['hi']`, and none with a code. */
  readonly texts?: readonly string[];
  readonly trailers?: OutgoingHttpHeaders;
  /** grpc-status; default 0. */
  readonly code?: number;
  readonly message?: string;
  readonly details?: readonly Detail[];
  /** Instead of an answer. */
  readonly answer?: (stream: ServerHttp2Stream) => void;
}

export interface Teller {
  readonly server: RawServer;
  telling: Telling;
  /** The headers of the last call. */
  seen: IncomingHttpHeaders;
}

function told(text: string): Buffer {
  return frame(`\n${String.fromCharCode(text.length)}${text}`);
}

function statusTrailers({ code = 0, message, details = [], trailers }: Telling): OutgoingHttpHeaders {
  return {
    'grpc-status': String(code),
    ...(message !== undefined && { 'grpc-message': encodeURIComponent(message) }),
    ...(details.length > 0 && {
      'grpc-status-details-bin': Buffer.from(
        encodeStatus({ code, message: message ?? '', details }),
      ).toString('base64'),
    }),
    ...trailers,
  };
}

function answer(stream: ServerHttp2Stream, telling: Telling): void {
  const { headers, code = 0, texts = code === 0 ? ['hi'] : [] } = telling;
  const head = { ':status': 200, 'content-type': 'application/grpc', ...headers };
  if (texts.length === 0) {
    stream.respond({ ...head, ...statusTrailers(telling) }, { endStream: true });
    return;
  }
  stream.respond(head, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(statusTrailers(telling)));
  for (const text of texts) stream.write(told(text));
  stream.end();
}

export async function startTeller(): Promise<Teller> {
  const teller: Omit<Teller, 'server'> = { telling: {}, seen: {} };
  const server = await startHttp2Server((stream, headers) => {
    stream.resume();
    teller.seen = headers;
    if (teller.telling.answer === undefined) answer(stream, teller.telling);
    else teller.telling.answer(stream);
  });
  return Object.assign(teller, { server });
}

/** A gateway in front of it. */
export function startTellerGateway(
  teller: Teller,
  flags: readonly string[] = [],
  change?: (config: Config) => Config,
) {
  return startGateway(teller.server.address, ['--proto', TELLER_PROTO, ...flags], change);
}
