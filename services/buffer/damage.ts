import { basename } from 'node:path'
import type { Log } from '../queue/types.ts'
import type { LogFile } from './catalog.ts'
import type { BufferFile } from './file-system.ts'
import type { Quarantine } from './quarantine.ts'

export interface DamageOptions {
  quarantine: Quarantine
  log: Log
  file: LogFile
  /** Open for reading. */
  handle: BufferFile
  piece: { offset: number, end: number, sequence: number, nextSequence: number | null }
  /** Records that should be in these bytes. */
  missing: number
}

/**
 * Copies damaged bytes of a log file to the quarantine and raises the alarm. Never throws: when they cannot be copied, the
 * file as a whole is kept, once the rest of it is drained.
 */
export async function keepDamage ({ quarantine, log, file, handle, piece, missing }: DamageOptions): Promise<void> {
  const { offset, end } = piece
  const about = { file: file.path, offset, bytes: end - offset, firstSequence: piece.sequence, records: missing }
  file.damagedAt.add(offset)
  try {
    await quarantine.keepPart(`${basename(file.path)}.${offset}.damaged`, handle, offset, end, { reason: 'damaged records', ...about })
    log.error({ ...about, folder: quarantine.folder }, 'damaged records of the file buffer were set aside')
  } catch (error) {
    file.isToBeKept = true
    log.error({ ...about, err: error }, 'damaged records of the file buffer cannot be copied now; their file is kept')
  }
}
