/** The profiles: every switchable rule of HTTP as one option, with its value here, in grpc-gateway v2 and in Envoy. */
import type { Dialect } from '../src/codec/codec.js';
import type { ContractConfig, HttpConfig } from './config.js';

/** Rules that real gateways see differently. Each can be set on its own; a profile presets them all. */
export interface HttpOptions {
  /** Status for a path that is known under other methods only: 405 with Allow, or 501; the gRPC code is 12 both times. */
  readonly wrongMethod: 405 | 501;
  /** A path with slashes at its end: is another path, is the one without them, or is sent there (308). */
  readonly trailingSlash: 'reject' | 'strip' | 'redirect';
  /**
   * A path with empty, `.` or `..` segments: is no route (404, 400 for the dots), or is sent to the one without them, as
   * Go's http.ServeMux does it: 301, after which most clients make a GET of a POST.
   */
  readonly uncleanPaths: 'reject' | 'redirect';
  /** Whether a POST of a form, on a path that has no POST, reaches the GET route, with the form's fields after the query. */
  readonly formOverride: boolean;
  /** Of several routes for one request: the most specific, or the one declared first or last whatever it looks like. */
  readonly precedence: 'specific' | 'first' | 'last';
  /**
   * What follows the last colon of a path, when some route declares such a verb: `route`: a verb where a route with it
   * matches, else part of the segment. `reserved`: always a verb, of any route.
   */
  readonly verbs: 'route' | 'reserved';
  /** Whether every method is served at POST /pkg.Service/Method, those without google.api.http included. */
  readonly methodPaths: boolean;
  /** Which escapes stay in the value of a variable of several segments: `%2F`, those of RFC 6570's reserved characters, or none. */
  readonly multiSegment: 'except-slash' | 'except-reserved' | 'all';
  /** A query or body with another value for a field that the path sets: 400, or what the path says counts. */
  readonly pathConflicts: 'reject' | 'path-wins';
  /** Whether a path variable may set a repeated field, its elements separated by commas. */
  readonly repeatedPathFields: boolean;
  /**
   * Query parameters that the route does not know, or that belong in its body: 400, dropped, or put into the map field
   * `captureInto` (400 where the request has none).
   */
  readonly unknownParameters: 'reject' | 'ignore' | 'capture';
  /** The proto name of a field of requests, a map<string, string>, for `unknownParameters: capture`; empty: none. */
  readonly captureInto: string;
  /** Query parameters that are dropped on every route; `*` stands for any text, as in `utm_*`. */
  readonly ignoredParameters: readonly string[];
  /** Whether `+` in a query is a space (as in forms) or a plus. */
  readonly plusIsSpace: boolean;
  /** Whether texts in path and query may also be Go's: durations `1h2m`, booleans `1` or `T`, integers `+7`, masks in proto names. */
  readonly goTexts: boolean;
  /** Members of a JSON body that its message does not know: 400, or dropped. */
  readonly unknownFields: 'reject' | 'ignore';
  /** Names of enum values in a JSON body that nobody declared: 400, or dropped with their field, element or entry. */
  readonly unknownEnumNames: 'reject' | 'ignore';
  /**
   * Whose JSON a body is. `strict`: RFC 8259 and the proto3 JSON mapping. `protojson`, of grpc-gateway v2: text behind the
   * value is ignored, white space is the empty message, integers above 2^53 may be numbers, 300 levels may be nested and not
   * 100. `jsonpb`, of v1: besides, a name or field given twice, two members of a oneof, null for a message or scalar, text
   * that is no Unicode; but base64 has to be of the standard alphabet and padded, and an integer in plain digits.
   * src/codec/jsonpb.ts says what counts.
   */
  readonly jsonDialect: Dialect;
  /** Whether a PATCH that leaves `update_mask` unset has it filled from the members of its body. */
  readonly fillMask: boolean;
  /** A body of another media type than JSON or protobuf: 415, or read as JSON all the same. */
  readonly contentTypes: 'strict' | 'any';
  /**
   * Stream of replies over plain HTTP. `bare`: a message a line, or one JSON array for `Accept: application/json`.
   * `array`: the array for clients that do not say. `result`: always lines, `{"result":...}` each, as application/json.
   */
  readonly streams: 'bare' | 'array' | 'result';
}

export const PROFILES = ['default', 'grpc-gateway', 'envoy'] as const;
export type Profile = (typeof PROFILES)[number];

/** One option: its value under each profile, and what is behind it. */
type Row<T> = { readonly [P in Profile]: T } & { readonly why: string };

/** Options of other parts of the configuration that a profile presets too. */
interface OtherOptions {
  'http.errors': HttpConfig['errors'];
  'http.requestInfo': boolean;
  'http.headers': HttpConfig['headers'];
  'json.emitDefaults': boolean;
  'json.emitNulls': boolean;
  'contract.duplicateRoutes': ContractConfig['duplicateRoutes'];
}

type Table = { readonly [K in keyof HttpOptions as `http.${K}`]: Row<HttpOptions[K]> } & {
  readonly [K in keyof OtherOptions]: Row<OtherOptions[K]>;
};

/**
 * Every switchable difference, by its place in the configuration. Where another gateway's own answer would be unsafe, its
 * profile keeps ours, and `why` says so. What differs and has no option is told in docs/migrating.md.
 */
export const PROFILE_TABLE: Table = {
  'http.wrongMethod': {
    default: 405,
    'grpc-gateway': 501,
    envoy: 405,
    why: 'RFC 9110 section 15.5.6; grpc-gateway answers its UNIMPLEMENTED; Envoy passes the request on untouched',
  },
  'http.trailingSlash': {
    default: 'reject',
    'grpc-gateway': 'reject',
    envoy: 'strip',
    why: 'http.proto: a template matches its own segments; Envoy drops empty segments at the end',
  },
  'http.uncleanPaths': {
    default: 'reject',
    'grpc-gateway': 'reject',
    envoy: 'reject',
    why: "RFC 9110 section 15.4.2; redirect for a grpc-gateway behind Go's http.ServeMux, such as that of etcd",
  },
  'http.formOverride': {
    default: false,
    'grpc-gateway': true,
    envoy: false,
    why: 'grpc-gateway serves queries that are too long for a URL so; X-HTTP-Method-Override works in no profile',
  },
  'http.precedence': {
    default: 'specific',
    'grpc-gateway': 'last',
    envoy: 'specific',
    why: 'grpc-gateway tries its patterns one by one, the last registered first',
  },
  'http.verbs': {
    default: 'route',
    'grpc-gateway': 'route',
    envoy: 'reserved',
    why: 'so that urn:x:1 stays an id; Envoy takes a verb that any template declares for a verb on all paths',
  },
  'http.methodPaths': {
    default: true,
    'grpc-gateway': false,
    envoy: false,
    why: 'both others serve only what google.api.http declares (generate_unbound_methods and auto_mapping are off)',
  },
  'http.multiSegment': {
    default: 'except-slash',
    'grpc-gateway': 'all',
    envoy: 'except-reserved',
    why: 'http.proto leaves %2F alone; UnescapingModeLegacy; ALL_CHARACTERS_EXCEPT_RESERVED',
  },
  'http.pathConflicts': {
    default: 'reject',
    'grpc-gateway': 'path-wins',
    envoy: 'reject',
    why: 'permissions look at paths; Envoy lets the body win unless reject_binding_body_field_collisions is on, which is unsafe',
  },
  'http.repeatedPathFields': {
    default: false,
    'grpc-gateway': true,
    envoy: false,
    why: 'http.proto: a variable must not name a repeated field; grpc-gateway splits it at commas',
  },
  'http.unknownParameters': {
    default: 'reject',
    'grpc-gateway': 'ignore',
    envoy: 'reject',
    why: 'a misspelt filter must not return everything; Envoy maps no request with one (ignore_unknown_query_parameters is off)',
  },
  'http.captureInto': {
    default: '',
    'grpc-gateway': '',
    envoy: '',
    why: 'only for unknownParameters: capture (Envoy: capture_unknown_query_parameters, off)',
  },
  'http.ignoredParameters': {
    default: [],
    'grpc-gateway': [],
    envoy: [],
    why: 'Envoy: ignored_query_parameters',
  },
  'http.plusIsSpace': {
    default: true,
    'grpc-gateway': true,
    envoy: false,
    why: 'as browsers send forms; Envoy keeps the plus (query_param_unescape_plus is off)',
  },
  'http.goTexts': {
    default: false,
    'grpc-gateway': true,
    envoy: false,
    why: 'proto3 JSON mapping; grpc-gateway reads texts with strconv and time.ParseDuration',
  },
  'http.unknownFields': {
    default: 'reject',
    'grpc-gateway': 'ignore',
    envoy: 'ignore',
    why: 'proto3 JSON mapping: rejected by default; both others discard them',
  },
  'http.unknownEnumNames': {
    default: 'reject',
    'grpc-gateway': 'ignore',
    envoy: 'reject',
    why: 'proto3 JSON mapping; DiscardUnknown of protojson covers them, in grpc-gateway v1 and in Envoy they are 400',
  },
  'http.jsonDialect': {
    default: 'strict',
    'grpc-gateway': 'protojson',
    envoy: 'strict',
    why: 'proto3 JSON mapping, RFC 8259; grpc-gateway v2 reads one value by protojson, v1 by jsonpb',
  },
  'http.fillMask': {
    default: true,
    'grpc-gateway': true,
    envoy: false,
    why: 'AIP-134: an absent mask means the fields that were sent (allow_patch_feature); Envoy knows no masks',
  },
  'http.contentTypes': {
    default: 'strict',
    'grpc-gateway': 'any',
    envoy: 'any',
    why: 'RFC 9110 section 15.5.16; both others read everything as JSON, so curl -d needs no header',
  },
  'http.streams': {
    default: 'bare',
    'grpc-gateway': 'result',
    envoy: 'array',
    why: 'lines are useful at once; grpc-gateway wraps each line; Envoy writes one array',
  },
  'http.errors': {
    default: 'status',
    'grpc-gateway': 'status',
    envoy: 'status',
    why: 'google.rpc.Status; in Envoy this is convert_grpc_status, without which errors have no body',
  },
  'http.requestInfo': {
    default: true,
    'grpc-gateway': false,
    envoy: false,
    why: 'both others add no details of their own',
  },
  'http.headers': {
    default: 'same',
    'grpc-gateway': 'grpc-gateway',
    envoy: 'same',
    why: 'grpc-gateway renames headers: Grpc-Metadata-, grpcgateway-, Grpc-Trailer-',
  },
  'json.emitDefaults': {
    default: false,
    'grpc-gateway': true,
    envoy: false,
    why: 'EmitUnpopulated is on; always_print_primitive_fields is off',
  },
  'json.emitNulls': {
    default: false,
    'grpc-gateway': true,
    envoy: false,
    why: 'EmitUnpopulated prints null for absent messages',
  },
  'contract.duplicateRoutes': {
    default: 'error',
    'grpc-gateway': 'last',
    envoy: 'error',
    why: 'grpc-gateway v2 serves the last registered (v1 the first); Envoy serves neither',
  },
};

/** The value of an option where nothing is configured. */
export function presetOf<K extends keyof Table>(
  option: K,
  profile: Profile = 'default',
): Table[K]['default'] {
  return PROFILE_TABLE[option][profile];
}

/** What HTTP is like where nothing is configured. */
export const HTTP_DEFAULTS: HttpOptions = Object.fromEntries(
  Object.entries(PROFILE_TABLE).flatMap(([option, values]) =>
    option.startsWith('http.') ? [[option.slice('http.'.length), values.default]] : [],
  ),
) as unknown as HttpOptions;

/** A configuration as it comes from its sources, not validated yet. */
type Tree = Record<string, unknown>;

/**
 * Gives the options that `tree` leaves open the values of its `http.profile`. What is explicit wins; what is no profile
 * or no mapping is left for the schema to report.
 */
export function applyProfile(tree: Tree): void {
  const profile = PROFILES.find((name) => isTree(tree.http) && tree.http.profile === name);
  if (profile === undefined) return;
  for (const option of Object.keys(PROFILE_TABLE) as (keyof Table)[]) {
    const [section, name] = option.split('.') as [string, string];
    tree[section] ??= {};
    const options = tree[section];
    if (isTree(options)) options[name] ??= presetOf(option, profile);
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
