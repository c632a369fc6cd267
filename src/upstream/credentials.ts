/** TLS towards a service: certificates that may be renewed while connections live. */
import { type ChannelCredentials, credentials, experimental } from '@grpc/grpc-js';

/** What a connection is secured with, as PEM. */
export interface UpstreamCertificates {
  /** The authorities that may vouch for the service; default: those that Node knows. */
  readonly ca?: Buffer | undefined;
  /** What we show to a service that asks who we are (mutual TLS), and its key. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

export interface UpstreamTls {
  /** Those in force. */
  readonly current: () => UpstreamCertificates;
  /** Calls `back` when they have changed, until the result is called. New connections are made with the new ones; those that live go on. */
  readonly onChange: (back: () => void) => () => void;
  /** The name that the service's certificate has to be for; default: the host of its address. */
  readonly serverName?: string | undefined;
}

/** Plaintext without `tls`. */
export function channelCredentials(tls: UpstreamTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const provider = new Certificates(tls);
  const isMutual = tls.current().cert !== undefined;
  return experimental.createCertificateProviderChannelCredentials(provider, isMutual ? provider : null);
}

/** Of the options of a channel: a name other than the address's is looked for in the certificate, and asked for. */
export function nameOptions(tls: UpstreamTls | undefined): Record<string, string> {
  return tls?.serverName === undefined
    ? {}
    : { 'grpc.ssl_target_name_override': tls.serverName, 'grpc.default_authority': tls.serverName };
}

type Listener<T> = (update: T | null) => void;

/** Tells grpc-js, for as long as it listens. */
class Certificates implements experimental.CertificateProvider {
  readonly #stops = new Map<Listener<never>, () => void>();

  constructor(private readonly tls: UpstreamTls) {}

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    // Without authorities of its own, an update with none stands for those of Node.
    this.#listen(listener, ({ ca }) => ({ caCertificate: ca as Buffer }));
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#leave(listener);
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#listen(listener, ({ cert, key }) =>
      cert === undefined || key === undefined ? null : { certificate: cert, privateKey: key },
    );
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#leave(listener);
  }

  #listen<T>(listener: Listener<T>, updateOf: (certificates: UpstreamCertificates) => T | null): void {
    const tell = (): void => listener(updateOf(this.tls.current()));
    this.#leave(listener as Listener<never>);
    this.#stops.set(listener as Listener<never>, this.tls.onChange(tell));
    tell();
  }

  #leave(listener: Listener<never>): void {
    this.#stops.get(listener)?.();
    this.#stops.delete(listener);
  }
}
