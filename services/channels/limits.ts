export interface ChannelLimits {
  /** Connections, however they come; one more is not taken. */
  maxConnections: number
  /** Unassigned requests per channel; one more is refused. */
  maxQueued: number
  /** Live operations per client as a sender, and as many as a receiver; one more is refused. */
  maxOperations: number
  /** Output waiting for a client from which on those who write to it are not read. */
  maxPendingBytes: number
  /** A client that accepts no byte of waiting output for this long is disconnected. */
  stallMs: number
  /** For a connection's first frame, and for the rest of a frame that has begun. */
  frameMs: number
  /** Timeout of an operation that names none. */
  defaultTimeoutMs: number
  /** For what is still to be sent, and for the peer to close, when a connection is closed in order. */
  closeMs: number
}
