/** Where Tidegate answers otherwise than etcd's own gateway (grpc-gateway 1.9), and why. A difference that is not here fails the test. */

export interface Difference {
  /** On one line: HTTP status, then code and message of an error; `cut` for a connection closed without an answer. */
  readonly theirs: string;
  readonly ours: string;
  /** Argued from google/api/http.proto, the proto3 JSON mapping, google/rpc/code.proto or an RFC. */
  readonly why: string;
}

const PRECONDITION =
  'google/rpc/code.proto maps FAILED_PRECONDITION to 400, and says why: 412 (RFC 9110 section 15.5.13) is about If-Match and its like, which nobody sent';
const WORDS =
  'both refuse, with 400 and INVALID_ARGUMENT; our message names the place in what the client wrote, theirs the types of a Go program';
const STRICT_TEXT =
  'RFC 8259 section 2: a JSON text is one value; what follows it was meant by somebody and must not be lost';
const NOT_NULL =
  'proto3 JSON mapping: null stands for an absent field; it is no message, and no element of a repeated field';
const BLANK =
  'no body at all is the empty message; a body must be a JSON text (RFC 8259 section 2), and white space is none';
const BASE64 =
  'proto3 JSON mapping, bytes: standard or URL-safe base64, with or without padding, is accepted';
const INTEGER =
  'proto3 JSON mapping, integers: a fraction part of zero and an exponent are accepted, since the value is whole';
const UNKNOWN =
  'proto3 JSON mapping: a parser rejects unknown fields by default; a misspelt `limit` would otherwise return the whole store';
const DEPTH = 'nested deeper than 100 levels, as protobuf parsers refuse too (their recursion limit)';
const MEDIA_TYPE =
  'RFC 9110 section 15.5.16: a body that says it is no JSON is not read as JSON; send application/json, or no type';
const ERROR_BODY =
  'the same status; ours has a body of google.rpc.Status as every other error has, theirs is text';

const INSIDE = '/success/0/request_txn'.repeat(50);
const TOO_DEEP = `400 3: body ${INSIDE}: nested over 100 levels`;

/** An error of etcd that both pass on, with the HTTP status of each. */
const precondition = (message: string): Difference => ({
  theirs: `412 9: etcdserver: ${message}`,
  ours: `400 9: etcdserver: ${message}`,
  why: PRECONDITION,
});

/** A request that both refuse. */
const refused = (theirs: string, ours: string, why = WORDS): Difference => ({
  theirs: `400 3: ${theirs}`,
  ours: `400 3: body${ours}`,
  why,
});

/** A request that their gateway alone takes. */
const strict = (ours: string, why: string): Difference => ({ theirs: '200', ours, why });

/** A request that ours alone takes. */
const taken = (theirs: string, why: string): Difference => ({ theirs: `400 3: ${theirs}`, ours: '200', why });

const unmarshal = (what: string, type: string) =>
  `json: cannot unmarshal ${what} into Go value of type ${type}`;
const KEY_MISSING = 'etcdserver: key is not provided';
const SORT_ORDER = 'expected a value of etcdserverpb.RangeRequest.SortOrder';
const noRoute = (path: string): Difference => ({
  theirs: '404 Not Found',
  ours: `404 5: no route for ${path}`,
  why: ERROR_BODY,
});
const notAllowed = (verb: string): Difference => ({
  theirs: '405 Method Not Allowed',
  ours: `405 12: ${verb} is not allowed here; allowed: OPTIONS, POST`,
  why: `${ERROR_BODY}; and ours has the Allow header that RFC 9110 section 15.5.6 asks for`,
});
const unsupported = (type: string): Difference =>
  strict(
    `415 3: header content-type: ${type} is not served here; send application/json, application/x-protobuf`,
    MEDIA_TYPE,
  );

/** By the name of the request. */
export const DIFFERENCES: ReadonlyMap<string, Difference> = new Map([
  ['lease: grant one that exists', precondition('lease already exists')],
  ['maintenance: hand over to a member that does not exist', precondition('bad leader transferee')],
  ['auth: enable it without a root user', precondition('root user does not exist')],
  ['auth: authenticate while it is off', precondition('authentication is not enabled')],
  ['auth: add a role that exists', precondition('role name already exists')],
  ['auth: a role that does not exist', precondition('role name not found')],
  [
    'lease: time to live, an ID above 2^53 as a number',
    strict(
      '400 3: body /ID: expected an int64, got a number above 2^53 that JSON may round: send it as a string',
      'proto3 JSON mapping: 64-bit integers are strings; JSON.parse, here and in clients, rounds such a number to another ID',
    ),
  ],

  [
    'bad: JSON that ends too early',
    refused(
      'unexpected EOF',
      ': invalid JSON at line 1 column 18: expected "," or "}", got the end of the text',
    ),
  ],
  [
    'bad: a comma too many',
    refused(
      "invalid character '}' looking for beginning of object key string",
      ': invalid JSON at line 1 column 19: expected a name in double quotes',
    ),
  ],
  [
    'bad: garbage after the value',
    strict('400 3: body: invalid JSON at line 1 column 20: expected the end of the text', STRICT_TEXT),
  ],
  [
    'bad: two values',
    strict('400 3: body: invalid JSON at line 1 column 19: expected the end of the text', STRICT_TEXT),
  ],
  [
    'bad: bytes that are not UTF-8',
    strict('400 3: body: not valid UTF-8', 'RFC 8259 section 8.1: JSON between systems is UTF-8'),
  ],
  [
    'bad: an array for the message',
    refused(unmarshal('array', 'map[string]json.RawMessage'), ': expected an object, got an array'),
  ],
  [
    'bad: a string for the message',
    refused(unmarshal('string', 'map[string]json.RawMessage'), ': expected an object, got "alpha"'),
  ],
  ['bad: null for the message', refused(KEY_MISSING, ': expected an object, got null', NOT_NULL)],
  ['bad: white space for the message', refused(KEY_MISSING, ': invalid JSON: it is empty', BLANK)],
  [
    'bad: null for a message that needs nothing',
    strict('400 3: body: expected an object, got null', NOT_NULL),
  ],
  [
    'bad: white space for a message that needs nothing',
    strict('400 3: body: invalid JSON: it is empty', BLANK),
  ],
  ['bad: a number for bytes', refused(unmarshal('number', '[]uint8'), ' /key: expected base64, got 5')],
  [
    'bad: an object for bytes',
    refused(unmarshal('object', '[]uint8'), ' /key: expected base64, got an object'),
  ],
  [
    'bad: base64 of another alphabet',
    refused('illegal base64 data at input byte 0', ' /key: expected base64, got "*alpha*"'),
  ],
  ['bad: base64 without padding', taken('illegal base64 data at input byte 0', BASE64)],
  ['bad: base64 for URLs', taken('illegal base64 data at input byte 0', BASE64)],
  [
    'bad: a string for a bool',
    refused(unmarshal('string', 'bool'), ' /keys_only: expected a bool, got "true"'),
  ],
  ['bad: a number for a bool', refused(unmarshal('number', 'bool'), ' /keys_only: expected a bool, got 1')],
  [
    'bad: words for an integer',
    refused("invalid character 'e' in literal true (expecting 'r')", ' /limit: expected an int64, got "ten"'),
  ],
  [
    'bad: a fraction for an integer',
    refused(unmarshal('number 1.5', 'int64'), ' /limit: expected an int64, got 1.5'),
  ],
  ['bad: a whole number with a fraction part', taken(unmarshal('number 1.0', 'int64'), INTEGER)],
  ['bad: a whole number with an exponent', taken(unmarshal('number 1e1', 'int64'), INTEGER)],
  ['bad: a whole number with a fraction part, in quotes', taken(unmarshal('number 1.0', 'int64'), INTEGER)],
  [
    'bad: a number with leading zeros, in quotes',
    taken(
      "invalid character '0' after top-level value",
      'proto3 JSON mapping: in quotes the integer is decimal digits, and no JSON number that would bar leading zeros',
    ),
  ],
  [
    'bad: an integer of more than 64 bits',
    refused(
      unmarshal('number 9223372036854775808', 'int64'),
      ' /limit: expected an int64, got "9223372036854775808", which is out of range',
    ),
  ],
  [
    'bad: a negative number for an unsigned one',
    refused(unmarshal('number -1', 'uint64'), ' /ID: expected a uint64, got "-1", which is out of range'),
  ],
  [
    'bad: an unknown enum name',
    refused(
      'unknown value "SIDEWAYS" for enum etcdserverpb.RangeRequest_SortOrder',
      ` /sort_order: ${SORT_ORDER}, got "SIDEWAYS"`,
    ),
  ],
  [
    'bad: an enum name in small letters',
    refused(
      'unknown value "ascend" for enum etcdserverpb.RangeRequest_SortOrder',
      ` /sort_order: ${SORT_ORDER}, got "ascend"; did you mean ASCEND?`,
    ),
  ],
  [
    'bad: an enum number as a string',
    refused(
      'unknown value "1" for enum etcdserverpb.RangeRequest_SortOrder',
      ` /sort_order: ${SORT_ORDER}, got "1"`,
    ),
  ],
  [
    'bad: an enum number with a fraction part',
    taken(unmarshal('number 1.0', 'etcdserverpb.RangeRequest_SortOrder'), INTEGER),
  ],
  [
    'bad: a field that does not exist',
    strict('400 3: body /colour: no such field in etcdserverpb.RangeRequest', UNKNOWN),
  ],
  [
    'bad: a field name in another case',
    refused(KEY_MISSING, ' /KEY: no such field in etcdserverpb.RangeRequest; did you mean key?', UNKNOWN),
  ],
  [
    'bad: a field given twice',
    strict(
      '400 3: body /key: given twice',
      'RFC 8259 section 4: names in an object should be unique; who looks at the request before us may take the other one',
    ),
  ],
  [
    'bad: a field given by both of its names',
    strict(
      '400 3: body /keysOnly: given twice, as "keys_only" and as "keysOnly"',
      'proto3 JSON mapping: a field has one value; which of the two is meant cannot be known',
    ),
  ],
  [
    'bad: an object for a list',
    refused(unmarshal('object', '[]json.RawMessage'), ' /success: expected an array, got an object'),
  ],
  [
    'bad: half of a surrogate pair',
    {
      theirs: '412 9: etcdserver: role name not found',
      ours: '400 3: body /role: a string with half of a surrogate pair is no text',
      why: 'RFC 8259 section 8.2: such a string is no Unicode; theirs asks for another role than the client did',
    },
  ],
  [
    'bad: null in a list of strings',
    refused(
      'etcdserver: given member URLs are invalid',
      ' /peerURLs/0: null is no element of a list',
      NOT_NULL,
    ),
  ],
  [
    'bad: two members of a oneof',
    strict(
      '400 3: body /success/0/request_delete_range: "request_range" and "request_delete_range" are both given, but the oneof "request" holds one',
      'proto3 JSON mapping: of a oneof one member can be set; their gateway picks one by chance',
    ),
  ],
  ['bad: nested 200 deep', strict(TOO_DEEP, DEPTH)],
  [
    'bad: nested 1,000 deep',
    { theirs: '400 3: etcdserver: too many operations in txn request', ours: TOO_DEEP, why: DEPTH },
  ],
  [
    'bad: nested 40,000 deep',
    { theirs: "400 3: invalid character '[' exceeded max depth", ours: TOO_DEEP, why: WORDS },
  ],

  ['bad: a form', unsupported('application/x-www-form-urlencoded')],
  ['bad: plain text', unsupported('text/plain')],
  [
    'bad: no token',
    strict('401 16: a token is required', 'a method without an access option needs a valid token'),
  ],
  ['bad: a GET of what must be posted', notAllowed('GET')],
  ['bad: a DELETE of what must be posted', notAllowed('DELETE')],
  ['bad: a path that does not exist', noRoute('/v3/kv/fetch')],
  ['bad: a path in another case', noRoute('/v3/KV/range')],
  ['bad: a slash behind the path', noRoute('/v3/kv/range/')],
  ['bad: a verb that does not exist', noRoute('/v3/kv/range:all')],
  [
    'bad: two slashes in the path',
    {
      theirs: '301',
      ours: '404 5: no route for /v3//kv/range',
      why: 'http.proto: a template matches its own segments, and an empty one is none of them; a redirect would turn the POST into a GET',
    },
  ],
  [
    'bad: a broken escape in the path',
    {
      theirs: '400 400 Bad Request',
      ours: '400 3: path segment 3: % must be followed by two hexadecimal digits',
      why: ERROR_BODY,
    },
  ],
]);
