/** tidegate.v1.access in a service configuration, by the names that the option has in a contract. */
import type { Access, ClaimBinding } from '../method.js';
import { checkAccess } from './access_option.js';
import type { YamlReader } from './yaml_reader.js';
import type { YamlEntry, YamlValue } from './yaml_value.js';

/** Fields of tidegate.v1.Access and of the message in it (proto/tidegate/v1/options.proto). */
const ACCESS = ['public', 'permissions', 'roles', 'bind'];
const BINDING = ['field', 'claim', 'unless', 'first_only'];

export function readAccessRule(entry: YamlEntry, reader: YamlReader): Access {
  const fields = reader.fields(entry.value, ACCESS, 'access');
  const texts = (name: string) => {
    const list = fields?.get(name);
    return list === undefined ? [] : reader.texts(list);
  };
  const open = fields?.get('public');
  const bound = fields?.get('bind');
  const bind = bound === undefined ? [] : itemsOf(bound, reader).flatMap((item) => readBinding(item, reader));
  const access: Access = {
    public: open !== undefined && reader.boolean(open),
    permissions: texts('permissions'),
    roles: texts('roles'),
    ...(bind.length > 0 && { bind }),
  };
  checkAccess(access, (problem) => reader.report(entry.source, `access: ${problem}`));
  return access;
}

/** One binding, or a list of them, as in the text form of the option. */
function itemsOf(entry: YamlEntry, reader: YamlReader): readonly YamlValue[] {
  return entry.value.entries() === undefined ? reader.list(entry) : [entry.value];
}

function readBinding(value: YamlValue, reader: YamlReader): ClaimBinding | [] {
  const fields = reader.fields(value, BINDING, 'bind');
  if (fields === undefined) return [];
  const text = (name: string) => {
    const entry = fields.get(name);
    return entry === undefined ? '' : reader.text(entry);
  };
  const unless = fields.get('unless');
  const firstOnly = fields.get('first_only');
  return {
    field: text('field'),
    claim: text('claim'),
    unless: unless === undefined ? [] : reader.texts(unless),
    ...(firstOnly !== undefined && reader.boolean(firstOnly) && { firstOnly: true }),
  };
}
