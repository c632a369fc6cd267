/** Which node makes the call of a shared stream: a lease that one node holds, and the interest of the others in its going on. */
import { type Broker, BrokerError, type Lease } from '../broker/broker.js';
import type { Metadata } from '../call.js';
import { Code, StatusError } from '../status.js';
import type { ResetReason } from './feed.js';
import { type Owner, type OwnerOptions, startOwner } from './owner.js';
import type { SourceOptions } from './source.js';

export interface TenureOptions extends Pick<OwnerOptions, 'logs' | 'name'> {
  readonly broker: Broker;
  /** The name of this node among those of the cluster. */
  readonly node: string;
  readonly leaseMs: number;
  readonly patienceMs: number;
  readonly source: (token: Uint8Array | undefined, signal: AbortSignal) => SourceOptions;
  /** The stream cannot go on, for the reason that its clients are to be told. */
  readonly failed: (error: StatusError) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Ticks after the beginning at which the lease is asked for, whenever that is. */
const EARLY_LOOKS = 2;

export class Tenure {
  private lease: Lease | undefined;
  private owner: Owner | undefined;
  private acquiring = false;
  private lastLook = 0;
  private looks = 0;
  private failingSince = 0;
  private lost: ResetReason | undefined;

  constructor(private readonly options: TenureOptions) {}

  get isOwner(): boolean {
    return this.owner !== undefined;
  }

  get headers(): Metadata {
    return this.owner?.headers ?? {};
  }

  /** Once: why the service could not begin where it was asked to. */
  takeLost(): ResetReason | undefined {
    const { lost } = this;
    this.lost = undefined;
    return lost;
  }

  /**
   * Makes the call, unless another node does. Resolves with where the log ended when the service had accepted; 0 if another node makes
   * it. Rejects with the service's refusal.
   */
  async begin(token: Uint8Array | undefined): Promise<number> {
    const offset = await this.acquire(token);
    this.lastLook = Date.now();
    await this.showInterest();
    return offset;
  }

  private async acquire(token: Uint8Array | undefined): Promise<number> {
    const { broker, name, leaseMs } = this.options;
    this.acquiring = true;
    try {
      const lease = await broker.acquire(`stream:${name}`, leaseMs);
      if (lease === undefined) return 0;
      this.lease = lease;
      return await this.own(lease, token);
    } catch (thrown) {
      this.release();
      throw thrown;
    } finally {
      this.acquiring = false;
    }
  }

  private async own(lease: Lease, token: Uint8Array | undefined): Promise<number> {
    const { logs, name, source } = this.options;
    const signal = AbortSignal.any([this.options.signal, lease.lost]);
    const owner = await startOwner({ logs, name, source: source(token, signal), signal });
    this.owner = owner;
    this.lost = owner.lost;
    const over = (thrown?: unknown): void => {
      this.owner = undefined;
      // Somebody else may hold the lease by now: this node goes on reading, and may have it again later.
      if (lease.lost.aborted) this.lease = undefined;
      else if (thrown !== undefined) this.options.failed(StatusError.from(thrown));
    };
    owner.done.then(() => over(), over);
    return owner.offset;
  }

  /** Called about once a second. */
  tick(now: number): void {
    // The node that had the lease when this one began may have been about to give it up.
    if (this.looks >= EARLY_LOOKS && now - this.lastLook < this.options.leaseMs / 2) return;
    this.looks++;
    this.lastLook = now;
    this.showInterest().catch(() => {});
    if (this.lease === undefined && !this.acquiring) void this.takeOver(now);
  }

  /** The node that made the call may be gone, and its service with it: that one may take its time to come back. */
  private async takeOver(now: number): Promise<void> {
    try {
      await this.acquire(undefined);
      this.failingSince = 0;
    } catch (thrown) {
      if (thrown instanceof BrokerError) return;
      const error = StatusError.from(thrown);
      this.failingSince ||= now;
      const patient = now - this.failingSince < this.options.patienceMs;
      if (error.code !== Code.UNAVAILABLE || !patient) this.options.failed(error);
    }
  }

  /** Tells the node that makes the call that somebody here listens, so that it goes on with it. */
  private async showInterest(): Promise<void> {
    const { broker, name, node, leaseMs, signal } = this.options;
    if (!broker.shared || signal.aborted) return;
    await broker.members.put(`interest:${name}`, node, { ttlMs: leaseMs * 2 });
  }

  /** Nobody listens here any more: whether the call has to go on for the clients of other nodes. */
  async isNeeded(): Promise<boolean> {
    const { broker, name, node } = this.options;
    if (!broker.shared) return false;
    await broker.members.remove(`interest:${name}`, node);
    return this.lease !== undefined && (await broker.members.count(`interest:${name}`)) > 0;
  }

  release(): void {
    this.lease?.release().catch(() => {});
    this.lease = undefined;
  }
}
