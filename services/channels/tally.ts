/** Why a request that was opened has failed. */
export type Failure = 'timedOut' | 'receiverLeft' | 'malformed' | 'stopped'
/** Why one was never opened. */
export type Refused = 'queueFull' | 'tooMany' | 'malformedStart'

/** What has happened since the start. */
export class Tally {
  /** Frames that came in, and their payload. */
  frames = 0
  payloadBytes = 0
  /** Requests that were opened; replied to in full; given up by a sender that left; ended by an error frame. */
  opened = 0
  completed = 0
  senderLeft = 0
  failed = 0
  /** Of those that failed: opened, and ended because of ... */
  timedOut = 0
  receiverLeft = 0
  malformed = 0
  stopped = 0
  /** Of those that failed: never opened, because of ... */
  queueFull = 0
  tooMany = 0
  malformedStart = 0
  /** Requests whose receiver left before it accepted them. */
  requeued = 0
  /** Frames that the protocol does not allow. */
  invalid = 0
}
