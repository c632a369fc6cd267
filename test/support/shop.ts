/** A contract with a field of every kind that a request can set, and bindings over it for any rule. */
import { createRegistry, type DescMessage, fromBinary, type Registry, toJson } from '@bufbuild/protobuf';
import { buildTable, type Endpoint } from '../../gateway/http/table.js';
import type { JsonOptions, JsonValue } from '../../src/codec/codec.js';
import type { Contract } from '../../src/contract/contract.js';
import { type HttpRule, type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { Code, StatusError } from '../../src/status.js';
import { compileProto } from './compile.js';

const types = compileProto(`
  syntax = "proto3";
  package shop.v1;
  import "google/protobuf/any.proto";
  import "google/protobuf/duration.proto";
  import "google/protobuf/empty.proto";
  import "google/protobuf/field_mask.proto";
  import "google/protobuf/struct.proto";
  import "google/protobuf/timestamp.proto";
  import "google/protobuf/wrappers.proto";

  enum Color { COLOR_UNSPECIFIED = 0; RED = 1; BLUE = 2; }

  message Item { string sku = 1; int32 quantity = 2; }

  message Address {
    string city = 1;
    string line_1 = 2;
    repeated string tags = 3;
    Address next = 4;
  }

  message Order {
    string order_id = 1;
    string note = 2;
    int64 total = 3;
    Color color = 4;
    repeated Item items = 5;
    Address ship_to = 6;
    map<string, string> labels = 7;
    google.protobuf.Timestamp due = 8;
    oneof payment { string card = 9; Item invoice = 10; }
    optional string etag = 11;
  }

  message Request {
    string id = 1;
    int32 page_size = 2;
    int64 big_number = 3;
    uint32 count = 4;
    bool flag = 5;
    double ratio = 6;
    bytes data = 7;
    Color color = 8;
    repeated string tags = 9;
    repeated int32 numbers = 10;
    repeated Color colors = 11;
    repeated Item items = 12;
    map<string, string> labels = 13;
    map<int32, bool> switches = 14;
    map<string, Item> stock = 15;
    Order order = 16;
    google.protobuf.Timestamp since = 17;
    google.protobuf.Duration wait = 18;
    google.protobuf.FieldMask update_mask = 19;
    google.protobuf.Int64Value limit = 20;
    google.protobuf.BoolValue maybe = 21;
    google.protobuf.Struct extra = 22;
    google.protobuf.Value value = 23;
    google.protobuf.Any any = 24;
    oneof start { string token = 25; int64 offset = 26; Item item = 27; }
    optional string hint = 28;
    string custom = 29 [json_name = "__proto__"];
    google.protobuf.Empty nothing = 30;
    repeated google.protobuf.Timestamp times = 31;
  }

  message Reply { Order order = 1; repeated string names = 2; int32 total_size = 3; }
`);

export const shopTypes: Registry = createRegistry(...types.files);

export function shopType(name: string): DescMessage {
  const type = types.getMessage(`shop.v1.${name}`) ?? types.getMessage(name);
  if (type === undefined) throw new Error(`no message ${name}`);
  return type;
}

export interface MethodOptions {
  readonly name?: string;
  readonly clientStreaming?: boolean;
  readonly input?: string;
}

/** A method with these rules: `{verb, template, body, responseBody}`, all but the template with a default. */
export function shopMethod(
  rules: readonly (Partial<HttpRule> & { readonly template: string })[],
  { name = 'Do', clientStreaming = false, input = 'Request' }: MethodOptions = {},
): Method {
  return {
    name: `shop.v1.Shop/${name}`,
    service: 'shop.v1.Shop',
    path: `/shop.v1.Shop/${name}`,
    clientStreaming,
    serverStreaming: false,
    input: shopType(input),
    output: shopType('Reply'),
    routes: rules.map((rule) => ({ verb: 'GET', body: '', responseBody: '', ...rule })),
    access: { public: true, permissions: [], roles: [] },
    stream: STREAM_DEFAULTS,
    upstream: 'u1',
    source: { file: 'shop.proto', line: 3 },
  };
}

export const shopContract = (...methods: Method[]): Contract => ({ methods, types });

/** The endpoint of one rule, made as the gateway makes it. */
export function shopEndpoint(
  rule: Partial<HttpRule> & { readonly template: string },
  options: MethodOptions & { readonly json?: Partial<JsonOptions> } = {},
): Endpoint {
  const [endpoint] = buildTable(shopContract(shopMethod([rule], options)), options.json ?? {}).endpoints;
  return endpoint as Endpoint;
}

/** Canonical JSON of encoded bytes, by another implementation than ours. */
export function readShop(bytes: Uint8Array, type = 'Request'): JsonValue {
  return toJson(shopType(type), fromBinary(shopType(type), bytes), { registry: shopTypes }) as JsonValue;
}

/** What `run` answers, or undefined if it refuses as it may. */
export function answerOf(run: () => Uint8Array): Uint8Array | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof StatusError) || error.code !== Code.INVALID_ARGUMENT) throw error;
    return undefined;
  }
}

/** The INVALID_ARGUMENT that `run` throws, or that the URL it has bound throws without a body. */
export function refusal(run: () => unknown): StatusError {
  try {
    const bound = run();
    if (bound !== null && typeof bound === 'object' && 'empty' in bound)
      (bound as { empty(): unknown }).empty();
  } catch (error) {
    if (!(error instanceof StatusError) || error.code !== Code.INVALID_ARGUMENT) throw error;
    return error;
  }
  throw new Error('nothing was refused');
}
