/** The messages of a client on their way to the service: what may wait, and what is acknowledged. */
import type { Message } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import type { Bound } from '../http/table.js';
import type { Acks } from './ws_acks.js';
import type { Framing, Payload } from './ws_frames.js';
import { Inbox } from './ws_inbox.js';

export interface UploadOptions {
  readonly framing: Framing;
  /** Binds the URL, once; throws StatusError INVALID_ARGUMENT. */
  readonly bound: () => Bound;
  /** Messages that may wait for the service. */
  readonly queuedMessages: number;
  /** Bytes that may wait for services on this socket, and that do. */
  readonly queuedBytes: number;
  readonly waiting: () => number;
  /** The service took so many messages: the client may send as many more. */
  readonly grant: (n: number) => void;
  /** Undefined: messages are not acknowledged. */
  readonly acks: Acks | undefined;
  readonly fail: (error: StatusError) => void;
}

interface Arrived {
  readonly payload: Payload;
  readonly seq: number | undefined;
}

export class Upload {
  readonly inbox: Inbox;
  readonly #options: UploadOptions;
  /** What came before every policy had accepted the call, or before it was known what the client had sent before: not looked at yet. */
  #early: Arrived[] | undefined = [];
  #halfClosed = false;
  /** Messages that the client may still send before we grant more. */
  #window: number;
  #taken = 0;
  /** Of the messages in the inbox, and of the one that was handed out last; 0 for one without a number. */
  readonly #seqs: number[] = [];
  #over = false;

  constructor(options: UploadOptions) {
    this.#options = options;
    this.#window = options.queuedMessages;
    this.inbox = new Inbox({
      taken: () => this.#tookOne(),
      wanted: () => this.#wanted(),
      delivered: () => this.#delivered(),
    });
  }

  /** A message of the client. Ends the call if it does not fit. */
  message(payload: Payload, seq?: number): void {
    const { queuedMessages } = this.#options;
    if (this.#halfClosed) this.#fail(Code.INVALID_ARGUMENT, 'msg after half_close');
    else if (seq !== undefined && this.#options.acks === undefined) {
      this.#fail(Code.INVALID_ARGUMENT, 'msg.seq: needs the feature ack');
    } else if (this.#window <= 0) {
      const problem = `${queuedMessages} messages wait for the service: send no more without credit`;
      this.#fail(Code.RESOURCE_EXHAUSTED, `msg: ${problem}`);
    } else {
      this.#window--;
      if (this.#early === undefined) this.#accept({ payload, seq });
      else this.#early.push({ payload, seq });
    }
  }

  halfClose(): void {
    this.#halfClosed = true;
    if (this.#early === undefined) this.inbox.end();
  }

  /** The call is over. */
  end(error: StatusError | undefined): void {
    this.#over = true;
    if (error === undefined) this.inbox.end();
    else this.inbox.fail(error);
  }

  #accept({ payload, seq }: Arrived): void {
    const { framing, bound, acks, fail, queuedBytes, waiting } = this.#options;
    try {
      if (seq !== undefined && acks?.isNew(seq) === false) {
        this.#tookOne();
        return;
      }
      const message: Message = framing.request(bound(), payload);
      this.#seqs.push(seq ?? 0);
      this.inbox.push(message);
    } catch (thrown) {
      fail(StatusError.from(thrown));
      return;
    }
    if (this.inbox.bytes > 0 && waiting() > queuedBytes) {
      this.#fail(
        Code.RESOURCE_EXHAUSTED,
        `msg: more than ${queuedBytes} bytes on this socket wait for services`,
      );
    }
  }

  /** The service asks for messages, so the policies have let the call pass. */
  #wanted(): void {
    const { acks, fail } = this.#options;
    if (acks === undefined) this.#takeEarly();
    else
      acks
        .known()
        .then(() => this.#takeEarly())
        .catch((thrown: unknown) => fail(StatusError.from(thrown)));
  }

  #takeEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const arrived of early) if (!this.#over) this.#accept(arrived);
    if (this.#halfClosed) this.inbox.end();
  }

  /** The service took a message: tells the client in steps of half a window. */
  #tookOne(): void {
    this.#taken++;
    if (this.#taken * 2 < this.#options.queuedMessages || this.#over || this.#halfClosed) return;
    this.#window += this.#taken;
    this.#options.grant(this.#taken);
    this.#taken = 0;
  }

  #delivered(): void {
    const seq = this.#seqs.shift() ?? 0;
    if (seq > 0) this.#options.acks?.delivered(seq);
  }

  #fail(code: Code, problem: string): void {
    this.#options.fail(new StatusError(code, problem));
  }
}
