/** What checks of all kinds are configured with, and those that open a socket or speak TLS. */

/** What a server is taken for until its first verdict: core/health/check-state.ts. */
export type CheckInitial = 'unknown' | 'up' | 'down';

/** When a check runs and what its verdicts do: no part of the question. */
export interface CheckTiming {
  readonly intervalUs: number;
  /** Total time for one check, connect to verdict. */
  readonly timeoutUs: number;
  /** Failures in a row that take a server out. */
  readonly fall: number;
  /** Successes in a row that bring it back. */
  readonly rise: number;
  /** From a result to the next run while a change is not confirmed yet; null for the interval. */
  readonly retryDelayUs: number | null;
  /** Every run begins up to this much after its time, by chance; at most the interval. */
  readonly jitterUs: number;
  /** The first run begins within this time; null for the interval, two seconds at most. */
  readonly startSpreadUs: number | null;
  readonly initial: CheckInitial;
}

export interface CheckBase extends CheckTiming {
  /** Address to check, in canonical text; null for the server's own. */
  readonly address: string | null;
  /** Port to check; null for the server's own. */
  readonly port: number | null;
}

/** How a socket leaves this host, where the routes alone do not say it. */
export interface SocketPath {
  /** Source address, of the target's family; null for the one that the route prefers. */
  readonly source: string | null;
  /** Interface that packets leave and come by (SO_BINDTODEVICE); null for any. */
  readonly device: string | null;
  /** Firewall mark (SO_MARK) of what is sent; null for none. */
  readonly mark: number | null;
  /**
   * Real server that is to be reached by the target, which is a virtual IP then: the source is the
   * address that the route to it prefers, since the virtual IP would be sent from itself. null: the
   * target is reached straight.
   */
  readonly via: string | null;
}

/** A check that opens a socket. */
export interface SocketCheckConfig extends CheckBase, SocketPath {}

/** How TLS is spoken; only meaningful where it is. */
export interface TlsConfig {
  /** Verify the server's certificate. */
  readonly tlsVerify: boolean;
  /** Name for SNI and certificate verification; null for what the kind says. */
  readonly serverName: string | null;
  /** File with CA certificates in PEM; null for the system's. */
  readonly caFile: string | null;
  /** Files with our own certificate, its chain and its key in PEM; null for none. */
  readonly certificateFile: string | null;
  readonly keyFile: string | null;
  /** Least version of TLS. */
  readonly tlsMin: '1.2' | '1.3';
}
