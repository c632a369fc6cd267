/** Media types of a request: what the client accepts, and what it sent (RFC 9110 sections 12.5.1 and 8.3). */

export interface MediaType {
  /** `application/json`: type and subtype, in lower case. */
  readonly type: string;
  /** Names in lower case. Values as they came (a multipart boundary has case), but `charset`, which is in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

interface Range extends MediaType {
  readonly quality: number;
}

/** What a client thinks of one offer. */
interface Rating {
  readonly quality: number;
  readonly specificity: number;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TYPE = new RegExp(`^(${TOKEN}/${TOKEN})`);
const PARAMETER = new RegExp(`^[ \\t]*;[ \\t]*(?:(${TOKEN})=(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)"))?`);
/** At most three decimals (RFC 9110 section 12.4.2). */
const QUALITY = /^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/;
/** Between the parts of a list, and not inside a quoted string. */
const PART = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g;

const NO_PARAMETERS: ReadonlyMap<string, string> = new Map();

/** A Content-Type header. A malformed one is, whole, a type that nobody knows; an empty or missing one is the type ``. */
export function parseContentType(header: string | undefined): MediaType {
  const text = header?.trim() ?? '';
  return parseMediaType(text) ?? { type: text.toLowerCase(), parameters: NO_PARAMETERS };
}

function parseMediaType(text: string): MediaType | undefined {
  const type = TYPE.exec(text)?.[1];
  if (type === undefined) return undefined;
  const parameters = new Map<string, string>();
  let rest = text.slice(type.length);
  while (rest !== '') {
    const found = PARAMETER.exec(rest);
    if (found === null) return undefined;
    const [all, name, token, quoted = ''] = found;
    rest = rest.slice(all.length);
    if (name === undefined) continue;
    const key = name.toLowerCase();
    if (parameters.has(key)) return undefined;
    const value = token ?? quoted.replace(/\\(.)/g, '$1');
    parameters.set(key, key === 'charset' ? value.toLowerCase() : value);
  }
  return { type: type.toLowerCase(), parameters };
}

/**
 * The offer (a media type) that an Accept header likes best; undefined if it accepts none of them. The most specific
 * range decides about an offer, and `q=0` refuses it. Of offers with the same quality, the one that was named more
 * specifically wins, then the first. Malformed parts are ignored; without any part, everything is accepted.
 */
export function negotiate<Offer extends string>(
  header: string | undefined,
  offers: readonly Offer[],
): Offer | undefined {
  const ranges = header === undefined ? [] : parseAccept(header);
  if (ranges.length === 0) return offers[0];
  let best: { readonly offer: Offer; readonly rating: Rating } | undefined;
  for (const offer of offers) {
    const rating = rate(offer, ranges);
    if (rating.quality > 0 && (best === undefined || isBetter(rating, best.rating))) best = { offer, rating };
  }
  return best?.offer;
}

function parseAccept(header: string): Range[] {
  return (header.match(PART) ?? []).flatMap((part) => {
    const media = parseMediaType(part.trim());
    if (media === undefined) return [];
    const quality = media.parameters.get('q') ?? '1';
    return QUALITY.test(quality) ? [{ ...media, quality: Number(quality) }] : [];
  });
}

function isBetter(a: Rating, b: Rating): boolean {
  return a.quality === b.quality ? a.specificity > b.specificity : a.quality > b.quality;
}

function rate(offer: string, ranges: readonly Range[]): Rating {
  const media = parseContentType(offer);
  let best: Rating = { quality: 0, specificity: -1 };
  for (const range of ranges) {
    const specificity = specificityOf(range, media);
    if (specificity > best.specificity) best = { quality: range.quality, specificity };
  }
  return best;
}

/** How exactly a range names a media type; -1 if it does not include it. */
function specificityOf(range: MediaType, media: MediaType): number {
  if (range.type === '*/*') return 0;
  if (range.type.endsWith('/*')) return media.type.startsWith(range.type.slice(0, -1)) ? 1 : -1;
  if (range.type !== media.type) return -1;
  let specificity = 2;
  for (const [name, value] of range.parameters) {
    // All that we print is UTF-8, and clients like to say that they want it.
    if (name === 'q' || (name === 'charset' && value === 'utf-8')) continue;
    if (media.parameters.get(name)?.toLowerCase() !== value.toLowerCase()) return -1;
    specificity++;
  }
  return specificity;
}
