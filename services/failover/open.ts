import { FileBuffer } from '../buffer/file-buffer.ts'
import type { Log } from '../queue/types.ts'
import { Backlog } from './backlog.ts'
import { OwnBuffer } from './own-buffer.ts'

export interface OpenBufferOptions {
  directory: string
  /** Most bytes on the disk, and pushes per file. */
  maxBytes: number
  fileRecords: number
  log: Log
}

const LARGEST_FILE_BYTES = 64 * 1024 * 1024
// Space comes back file by file: a small budget is not to be one file.
const FILES_AT_LEAST = 8

/** Opens the folder of the file buffer and finds out what is in it. Throws RGT_BUFFER_IN_USE and RGT_BUFFER_UNUSABLE. */
export async function openBuffer ({ directory, maxBytes, fileRecords, log }: OpenBufferOptions): Promise<OwnBuffer> {
  const backlog = new Backlog()
  const files = await FileBuffer.open({
    directory,
    maxBytes,
    fileBytes: Math.min(LARGEST_FILE_BYTES, Math.ceil(maxBytes / FILES_AT_LEAST)),
    fileRecords,
    log,
    onRecovered: record => { backlog.recovered(record) },
    onStateChange: (state, before) => {
      const isRefusing = state === 'full' || state === 'unavailable'
      if (isRefusing) log.error({ state, before }, 'the file buffer takes no more pushes')
      else if (before === 'full' || before === 'unavailable') log.info({ state, before }, 'the file buffer takes pushes again')
    }
  })
  if (files.recovery.records > 0) log.info({ ...files.recovery, messages: backlog.messages }, 'the file buffer holds messages of an earlier run')
  return new OwnBuffer(files, backlog)
}
