/** Who may do something in a channel, as rules say it: in the configuration, and in the file of the Channels service by itself. */
import { isMisspelt } from './nearest.js';

/**
 * `public`: everybody, also without a token. `authenticated`: everybody with a token. `nobody`. Any other text is a permission that the caller
 * must have; of a list, all of them. A permission that is almost spelt as one of these words has to stand in a list.
 */
export type ChannelGrant = string | readonly string[];

const WORDS = ['public', 'authenticated', 'nobody'];

/** What is expected where something else stands. */
export const CHANNEL_GRANT = `${WORDS.join(', ')}, a permission, or a list of permissions`;

export function isChannelGrant(value: unknown): value is ChannelGrant {
  if (Array.isArray(value)) return value.length > 0 && value.every(isText);
  return isText(value) && !isMisspelt(value, WORDS);
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
