/** What has happened since the start. */
export class Tally {
  /** Frames that came in, and their payload. */
  frames = 0
  payloadBytes = 0
  /** Requests that were opened; replied to in full; ended by an error frame; of those, because of their timeout. */
  opened = 0
  completed = 0
  failed = 0
  timedOut = 0
  /** Requests whose receiver left before it accepted them. */
  requeued = 0
  /** Frames that the protocol does not allow. */
  invalid = 0
}
