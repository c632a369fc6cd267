/** What is configured of who may call what, what services hear of it, and where it is written down. */
import type { ClaimBinding } from '../../src/method.js';

/** Who may call the methods that `match`. What is given replaces what the contract says; of several rules, the later decides. */
export interface AccessRuleConfig {
  /** The name of a method, `orders.v1.OrdersService/GetOrder`, in which `*` stands for any text. One that matches nothing is a problem of the contract. */
  readonly match: string;
  /** Given, `public`, `permissions` and `roles` are replaced together. */
  readonly public?: boolean | undefined;
  readonly permissions?: readonly string[] | undefined;
  readonly roles?: readonly string[] | undefined;
  /** Given, all bindings are replaced; an empty list is none. */
  readonly bind?: readonly ClaimBinding[] | undefined;
}

/** Somebody who is asked beside the rules: the HTTP data API of Open Policy Agent. */
export interface ExternalConfig {
  /** Of the decision, for example `http://127.0.0.1:8181/v1/data/gateway/allow`. */
  readonly url: string;
  /** No answer within this time is a refusal, in ms; default 1 s. */
  readonly timeoutMs: number;
  /** How long an answer counts for the same question, in ms; 0: for one call; default 5 s. */
  readonly cacheMs: number;
  /** Answers that are remembered; default 10,000. */
  readonly cacheEntries: number;
  /** Methods that are asked about, with `*` for any text; default all, public ones too. */
  readonly match: readonly string[];
  /** Claims that are sent, besides what roles and permissions came of them; default none. */
  readonly claims: readonly string[];
  /** Whether the request is sent, as JSON; default false. */
  readonly request: boolean;
}

/** A token that the gateway signs for services, instead of headers that they have to trust. */
export interface IdentityTokenConfig {
  /** Default `x-internal-token`; in `authorization` it takes the place of the client's own token. */
  readonly header: string;
  /** Default ES256. */
  readonly algorithm: 'ES256' | 'RS256';
  /** Private keys (PEM): the first signs, all are published. None: the gateway makes its own, and a new one every `rotateMs`. */
  readonly keyFiles: readonly string[];
  /** Of keys that the gateway makes, in ms; default 24 h. */
  readonly rotateMs: number;
  /** How long a token is valid, in ms; default 5 min. Never longer than the caller's own. */
  readonly ttlMs: number;
  /** Its `iss`; default `tidegate`. */
  readonly issuer: string;
  /** Its `aud` for the upstreams of these names; default: the name itself. */
  readonly audiences: Readonly<Record<string, string>>;
}

export interface IdentityConfig {
  /** Headers, in lower case, with the claims that they tell services; what clients send under these names is dropped. Default none. */
  readonly claims: Readonly<Record<string, string>>;
  readonly token?: IdentityTokenConfig | undefined;
}

export interface AuditConfig {
  /** A file that lines are added to, or `-` for the standard output; default: nowhere. */
  readonly file?: string | undefined;
  /** Whether allowed calls are written down too; default false: those that are refused. */
  readonly allowed: boolean;
}
