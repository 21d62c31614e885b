/** How a client reaches the broker; `local`: from within the process. */
export type TransportKind = 'tcp' | 'websocket' | 'http' | 'local'

/** Why a connection is closed in order; a WebSocket says it in its close code. */
export type Closing = 'over' | 'stopping' | 'invalid' | 'no frame' | 'late' | 'too large'

/** What carries the bytes of one client: a TCP socket, a WebSocket. Everything the broker knows of it. */
export interface Transport {
  /**
   * Send these bytes, in order.
   * @param taken called later, once, when the peer's side has taken them; the next call comes only after it
   * @returns true: they were taken at once, and `taken` is not called
   */
  send: (bytes: readonly Buffer[], taken: () => void) => boolean
  /** Let nothing more come in until `resume`. */
  pause: () => void
  resume: () => void
  /** Everything was sent: close it for the peer, in order. */
  end: (closing: Closing) => void
  /** Close it at once. */
  destroy: () => void
}
