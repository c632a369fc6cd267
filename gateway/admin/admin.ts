/** Health and metrics for operators: an Express app beside the hot path, which never runs through it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import type { Registry } from 'prom-client';
import { Code } from '../../src/status.js';
import { JWKS_PATH } from '../http/own_paths.js';
import { OWN_ANSWER } from '../http/safety.js';

/** How long readers of the keys may keep them: less than the next key is published before it is used. */
const JWKS_SECONDS = 60;

export interface Readiness {
  readonly ready: boolean;
  /** Shown as JSON beside `ready`: for example `{ draining, upstreams }`. */
  readonly detail: object;
}

export interface AdminOptions {
  readonly registry: Registry;
  /** Asked at every /readyz. */
  readonly readiness: () => Readiness;
  /** The keys that the gateway signs tokens with (RFC 7517), asked at every /-/jwks; default: it signs none, and there is no such page. */
  readonly jwks?: (() => object) | undefined;
}

export interface Admin {
  /** The paths that `handle` answers; all others are the doors'. */
  readonly paths: ReadonlySet<string>;
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** The same as a middleware: other paths are left to `next`, or not found. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, next?: () => void) => void;
}

/**
 * - `/healthz`: 200 while the process answers at all.
 * - `/readyz`: 200, or 503 when no new traffic should come here; JSON says why.
 * - `/metrics`: Prometheus' text format.
 * - `/-/jwks`: the public keys of the gateway's own tokens, if it signs any.
 */
export function createAdmin({ registry, readiness, jwks }: AdminOptions): Admin {
  const app = express();
  app.disable('x-powered-by').disable('etag');
  app.enable('case sensitive routing').enable('strict routing');
  app.use((_request, response, next) => {
    response.set({ ...OWN_ANSWER, 'cache-control': 'no-store' });
    next();
  });

  const pages: Readonly<Record<string, RequestHandler>> = {
    '/healthz': (_request, response) => {
      response.json({ status: 'ok' });
    },
    '/readyz': (_request, response) => {
      const { ready, detail } = readiness();
      response.status(ready ? 200 : 503).json({ ready, ...detail });
    },
    '/metrics': async (_request, response) => {
      const text = await registry.metrics();
      response.setHeader('content-type', registry.contentType);
      response.end(text);
    },
    ...(jwks && {
      [JWKS_PATH]: ((_request, response) => {
        response.setHeader('cache-control', `public, max-age=${JWKS_SECONDS}`);
        response.json(jwks());
      }) satisfies RequestHandler,
    }),
  };
  for (const [path, page] of Object.entries(pages)) {
    app.route(path).get(page).all(onlyRead);
  }
  app.use(unknown);
  app.use(failed);
  const paths = new Set(Object.keys(pages));
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    app(request, response);
  };
  return {
    paths,
    handle,
    serve(request, response, next) {
      const path = (request.url ?? '').split('?', 1)[0] as string;
      if (next !== undefined && !paths.has(path)) next();
      else handle(request, response);
    },
  };
}

/** RFC 9110, 15.5.6; Express answers HEAD by the GET route. */
const onlyRead: RequestHandler = ({ method }, response) => {
  response
    .status(405)
    .set('allow', 'GET, HEAD')
    .json({
      code: Code.UNIMPLEMENTED,
      message: `${method} is not allowed here; allowed: GET, HEAD`,
      details: [],
    });
};

/** Instead of Express's own page. */
const unknown: RequestHandler = ({ path }, response) => {
  response.status(404).json({ code: Code.NOT_FOUND, message: `no page ${path.slice(0, 200)}`, details: [] });
};

/** Instead of Express's own, which shows the stack. An error handler is known by its four parameters. */
const failed: ErrorRequestHandler = (_error, _request, response, _next) => {
  if (response.headersSent) response.destroy();
  else response.status(500).json({ code: Code.INTERNAL, message: 'internal error', details: [] });
};
