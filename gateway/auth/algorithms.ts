/** The signature algorithms of tokens (RFC 7518, RFC 8037): which key each of them needs, and whether a signature is right. */
import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto';

/** `none` is not among them, and can not be: there is no key that would fit it. */
export const ALGORITHMS = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** RFC 7518, 3.2: a secret has at least the size of the hash. */
const SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };
/** RFC 7518, 3.4: the curve of each, and the length of its signature. */
const CURVES: Readonly<Record<string, { readonly curve: string; readonly bytes: number }>> = {
  ES256: { curve: 'prime256v1', bytes: 64 },
  ES384: { curve: 'secp384r1', bytes: 96 },
  ES512: { curve: 'secp521r1', bytes: 132 },
};
/** RFC 7518, 3.3. */
export const MIN_RSA_BITS = 2048;

/** A key that may have signed a token. Its algorithms are fixed when it is read: a token's header only chooses among them. */
export interface VerificationKey {
  readonly key: KeyObject;
  readonly algorithms: ReadonlySet<Algorithm>;
  /** For tokens that name it (`kid`) alone; undefined: for any. */
  readonly keyId: string | undefined;
}

/** The algorithms that a key can be used with: those of one family, so that a public key is never taken for a secret. */
export function algorithmsOf(key: KeyObject): readonly Algorithm[] {
  if (key.type === 'secret') {
    const bytes = key.symmetricKeySize ?? 0;
    return ALGORITHMS.filter((name) => bytes >= (SECRET_BYTES[name] ?? Number.POSITIVE_INFINITY));
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  switch (type) {
    case 'rsa':
    case 'rsa-pss': {
      if ((details?.modulusLength ?? 0) < MIN_RSA_BITS) return [];
      const families = type === 'rsa' ? /^[RP]S/ : /^PS/;
      return ALGORITHMS.filter((name) => families.test(name));
    }
    case 'ec':
      return ALGORITHMS.filter((name) => CURVES[name]?.curve === details?.namedCurve);
    case 'ed25519':
    case 'ed448':
      return ['EdDSA'];
    default:
      return [];
  }
}

/** Whether the signature over `input` (ASCII) was made with the key, or its private half. Never throws. */
export function isSigned(
  algorithm: Algorithm,
  key: KeyObject,
  { input, signature }: { readonly input: string; readonly signature: Uint8Array },
): boolean {
  const hash = `sha${algorithm.slice(2)}`;
  if (key.type === 'secret') {
    if (!algorithm.startsWith('HS')) return false;
    const expected = createHmac(hash, key).update(input).digest();
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  }
  const data = Buffer.from(input, 'latin1');
  try {
    switch (algorithm.slice(0, 2)) {
      case 'RS':
        return verify(hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
      case 'PS': {
        const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
        return verify(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }, signature);
      }
      case 'ES':
        if (signature.length !== CURVES[algorithm]?.bytes) return false;
        return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, signature);
      case 'Ed':
        return verify(null, data, key, signature);
      default:
        return false;
    }
  } catch {
    // OpenSSL throws for some signatures that cannot be one, such as a number greater than the curve's order.
    return false;
  }
}
