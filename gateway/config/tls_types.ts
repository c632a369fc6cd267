/** What is configured of TLS. */

/** PEM files. They are looked at again every 10 s and on SIGHUP: what was renewed is in force for the next connection. */
export interface CertificateFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** The gateway's own certificate, with those that vouch for it behind it, and its key: it then speaks https and wss alone. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
}

/** TLS towards a service. With `certFile` and `keyFile` the gateway shows who it is (mutual TLS). */
export interface UpstreamTlsConfig extends CertificateFiles {
  /** The name that the service's certificate has to be for; default: the host of its address. */
  readonly serverName?: string | undefined;
}
