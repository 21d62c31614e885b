import type { Transport } from '../channels/transport.ts'

/** Told what a connection brings. */
export interface ConnectionEvents {
  receive: (bytes: Buffer) => void
  /** It is gone. @param error why, if it was not closed in order */
  closed: (error?: Error) => void
}

/**
 * Opens a connection to a server. The events begin when the promise has been resolved.
 * @param signal aborted: the connection is no longer wanted, and the promise rejects if it has not been resolved
 */
export type Connect = (events: ConnectionEvents, signal: AbortSignal) => Promise<Transport>
