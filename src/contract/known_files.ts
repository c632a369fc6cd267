/** Files of other projects that many contracts import: what they declare, and whose they are. */
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { typeNames } from './declarations.js';
import { wellKnownFiles } from './well_known.js';

export interface KnownFile {
  /** As imports write it. */
  readonly name: string;
  /** Full names of the options it declares. */
  readonly options?: RegExp;
  /** Full names of the messages and enums that one uses outside of its options. */
  readonly types?: RegExp;
  /** Where to get it; undefined for what we carry. */
  readonly from?: string;
}

const GOOGLEAPIS = 'the googleapis repository';
const GRPC_GATEWAY = 'the grpc-gateway repository';

const googleType = (name: string, types: string): KnownFile => ({
  name: `google/type/${name}.proto`,
  types: new RegExp(`^google\\.type\\.(${types})$`),
  from: GOOGLEAPIS,
});

const KNOWN: readonly KnownFile[] = [
  { name: 'google/api/annotations.proto', options: /^google\.api\.http$/ },
  { name: 'google/api/http.proto', types: /^google\.api\.(Http|HttpRule|CustomHttpPattern)$/ },
  { name: 'google/api/httpbody.proto', types: /^google\.api\.HttpBody$/ },
  { name: 'tidegate/v1/options.proto', options: /^tidegate\.v1\.(access|stream)$/ },
  { name: 'google/api/field_behavior.proto', options: /^google\.api\.field_behavior$/, from: GOOGLEAPIS },
  {
    name: 'google/api/resource.proto',
    options: /^google\.api\.resource(_definition|_reference)?$/,
    from: GOOGLEAPIS,
  },
  {
    name: 'google/api/client.proto',
    options: /^google\.api\.(method_signature|default_host|oauth_scopes|api_version)$/,
    from: GOOGLEAPIS,
  },
  { name: 'google/api/field_info.proto', options: /^google\.api\.field_info$/, from: GOOGLEAPIS },
  { name: 'google/api/routing.proto', options: /^google\.api\.routing$/, from: GOOGLEAPIS },
  { name: 'google/api/visibility.proto', options: /^google\.api\.\w+_visibility$/, from: GOOGLEAPIS },
  {
    name: 'google/longrunning/operations.proto',
    options: /^google\.longrunning\.operation_info$/,
    types: /^google\.longrunning\.\w+$/,
    from: GOOGLEAPIS,
  },
  { name: 'google/rpc/code.proto', types: /^google\.rpc\.Code$/, from: GOOGLEAPIS },
  { name: 'google/rpc/status.proto', types: /^google\.rpc\.Status$/, from: GOOGLEAPIS },
  { name: 'google/rpc/error_details.proto', types: /^google\.rpc\.\w+$/, from: GOOGLEAPIS },
  googleType('calendar_period', 'CalendarPeriod'),
  googleType('color', 'Color'),
  googleType('date', 'Date'),
  googleType('datetime', 'DateTime|TimeZone'),
  googleType('dayofweek', 'DayOfWeek'),
  googleType('decimal', 'Decimal'),
  googleType('expr', 'Expr'),
  googleType('fraction', 'Fraction'),
  googleType('interval', 'Interval'),
  googleType('latlng', 'LatLng'),
  googleType('localized_text', 'LocalizedText'),
  googleType('money', 'Money'),
  googleType('month', 'Month'),
  googleType('phone_number', 'PhoneNumber'),
  googleType('postal_address', 'PostalAddress'),
  googleType('quaternion', 'Quaternion'),
  googleType('timeofday', 'TimeOfDay'),
  {
    name: 'buf/validate/validate.proto',
    options: /^buf\.validate\.\w+$/,
    from: 'the protovalidate repository',
  },
  { name: 'validate/validate.proto', options: /^validate\.\w+$/, from: 'the protoc-gen-validate repository' },
  {
    name: 'protoc-gen-openapiv2/options/annotations.proto',
    options: /^grpc\.gateway\.protoc_gen_openapiv2\.options\.\w+$/,
    from: GRPC_GATEWAY,
  },
  {
    name: 'protoc-gen-swagger/options/annotations.proto',
    options: /^grpc\.gateway\.protoc_gen_swagger\.options\.\w+$/,
    from: GRPC_GATEWAY,
  },
  { name: 'openapiv3/annotations.proto', options: /^openapi\.v3\.\w+$/, from: 'the gnostic repository' },
  { name: 'gogoproto/gogo.proto', options: /^gogoproto\.\w+$/, from: 'the gogo/protobuf repository' },
];

const BY_NAME: ReadonlyMap<string, KnownFile> = new Map(KNOWN.map((file) => [file.name, file]));

export function knownFile(name: string): KnownFile | undefined {
  return BY_NAME.get(name);
}

/** The file to import for an option; undefined when nobody knows it. */
export function homeOfOption(full: string): string | undefined {
  return KNOWN.find(({ options }) => options?.test(full))?.name;
}

/** The file to import for a message or enum; undefined when nobody knows it. */
export function homeOfType(full: string): string | undefined {
  return wellKnownHomes().get(full) ?? KNOWN.find(({ types }) => types?.test(full))?.name;
}

let homes: ReadonlyMap<string, string> | undefined;

/** Types of google/protobuf/*.proto with their files. */
function wellKnownHomes(): ReadonlyMap<string, string> {
  const pairs = (file: FileDescriptorProto) => [...typeNames(file)].map((type) => [type, file.name] as const);
  homes ??= new Map([...wellKnownFiles()].flatMap(pairs));
  return homes;
}
