/** A call that is answered with one message. It is accepted when the reply and its status are there. */
import type { Metadata as GrpcMetadata, StatusObject } from '@grpc/grpc-js';
import type { Message } from '../call.js';
import { Code, StatusError } from '../status.js';
import { fromGrpc, NO_METADATA } from './metadata.js';
import { Running } from './running.js';

export class SingleReply extends Running {
  private headers: GrpcMetadata | undefined;
  private message: Message | undefined;

  protected receiveHeaders(metadata: GrpcMetadata): void {
    this.headers = metadata;
  }

  onReceiveMessage(message: Message | null): void {
    if (this.isEnded || message === null) return;
    if (this.message !== undefined) {
      this.fail(this.cardinality('more than one reply'));
      return;
    }
    this.message = message;
    // The status comes only once nothing is left to read.
    this.read();
  }

  protected complete(status: StatusObject): void {
    if (this.message === undefined) {
      this.refuse(this.cardinality('no reply'));
      return;
    }
    this.accept({
      headers: this.headers === undefined ? NO_METADATA : fromGrpc(this.headers),
      messages: this.message,
      trailers: () => fromGrpc(status.metadata),
    });
  }

  /** Headers that came before the failure are as much of it as its trailers: nobody has seen them yet. */
  protected override failed(error: StatusError): void {
    const headers = this.headers === undefined ? NO_METADATA : fromGrpc(this.headers);
    if (headers === NO_METADATA) {
      this.refuse(error);
      return;
    }
    const { code, message, details, cause } = error;
    const metadata = { ...headers, ...error.metadata };
    this.refuse(new StatusError(code, message, { details, metadata, cause }));
  }

  /** gRPC's status codes page asks for UNIMPLEMENTED when the number of messages is not the method's. */
  private cardinality(what: string): StatusError {
    return new StatusError(
      Code.UNIMPLEMENTED,
      `upstream ${this.link.name} sent ${what} to a method that answers one`,
    );
  }
}
