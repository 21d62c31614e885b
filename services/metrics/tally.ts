/** What is counted, of one queue or of the whole process. Only additions: reading is done on a copy that was set aside. */
export class Tally {
  pushRequests = 0
  /** Messages stored; duplicates are not. */
  pushMessages = 0
  popRequests = 0
  popMessages = 0
  popEmpty = 0
  ackRequests = 0
  /** Acknowledged as completed. */
  ackSuccess = 0
  /** Reported as failed, for retry or dead, and acknowledgements that were refused. */
  ackFailed = 0
  transactions = 0
  deadLetters = 0
  partitionsCreated = 0
  dbErrors = 0
  /** Age of messages at their delivery. */
  lagCount = 0
  lagSumMs = 0
  lagMaxMs = 0
  /** Time that pops spent parked, of all of them together. */
  parkedMs = 0

  add (other: Tally): void {
    this.pushRequests += other.pushRequests
    this.pushMessages += other.pushMessages
    this.popRequests += other.popRequests
    this.popMessages += other.popMessages
    this.popEmpty += other.popEmpty
    this.ackRequests += other.ackRequests
    this.ackSuccess += other.ackSuccess
    this.ackFailed += other.ackFailed
    this.transactions += other.transactions
    this.deadLetters += other.deadLetters
    this.partitionsCreated += other.partitionsCreated
    this.dbErrors += other.dbErrors
    this.lagCount += other.lagCount
    this.lagSumMs += other.lagSumMs
    this.lagMaxMs = Math.max(this.lagMaxMs, other.lagMaxMs)
    this.parkedMs += other.parkedMs
  }
}
