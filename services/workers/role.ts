import type { LogLevel } from '../logging/levels.ts'
import type { ProcessReport } from '../metrics/process-report.ts'
import type { BufferKeeper } from '../shared-buffer/keeper.ts'
import type { FromKeeper, ToKeeper } from '../shared-buffer/messages.ts'

/** The one process of a server that has what there is only one of: the file buffer, the background jobs, the channels. */
export interface KeeperRole {
  kind: 'keeper'
  /** Called with the file buffer when it is open: processes of the server join it. */
  onBuffer: (keeper: BufferKeeper) => void
  /** Called with what ends the channels in good order, while there still are workers to hand on the last of it. */
  onChannels: (close: () => Promise<void>) => void
  /** Asks the others for their figures; never rejects, who does not answer soon is left out. */
  reports: () => Promise<ProcessReport[]>
  /** Tells the others from which level on they log. */
  setLogLevel: (level: LogLevel) => void
}

/** One of several processes that serve requests. */
export interface WorkerRole {
  kind: 'worker'
  /** The way to the keeper of the file buffer; null: there is none. */
  buffer: BufferLink | null
  /** Where the main process answers what its workers hand on to it. */
  mainSocket: string
  /** Takes what answers the main process when it asks for this one's figures. */
  onReport: (report: () => ProcessReport) => void
}

export interface BufferLink {
  /** Never throws. */
  send: (message: ToKeeper) => void
  /** Set by whoever is to hear it, and that the keeper is gone. */
  onMessage: (message: FromKeeper) => void
  onLost: () => void
}

/** What a process does for its server when that consists of several. */
export type ProcessRole = KeeperRole | WorkerRole
