/** What is known in memory of a log file; nothing of its records one by one. */
export interface LogFile {
  readonly number: number
  readonly path: string
  readonly salt: number
  readonly firstSequence: number
  /** Of its last record; below `firstSequence` when it has none. */
  lastSequence: number
  /** Its length as far as it is durable and belongs to the log. Nothing is read beyond. */
  bytes: number
  /** Nothing more is written to it. */
  isSealed: boolean
  /** Where damage begins that was dealt with already: set aside, counted, logged. */
  readonly damagedAt: Set<number>
  /** It has damage that could not be copied: the file itself is then kept. */
  isToBeKept: boolean
}

/** Up to where the log is drained: the last drained record, and the place in a file where the next one begins. */
export interface Position {
  sequence: number
  fileNumber: number
  /** Byte offset; 0 stands for the first record of the file. */
  offset: number
}

export type CatalogState = Pick<Catalog, 'files' | 'head' | 'nextSequence' | 'nextFileNumber' | 'records' | 'oldestMs'>

/** The undrained files in order, and the numbers that come next. Shared by the writer and the reader. */
export class Catalog {
  readonly files: LogFile[]
  head: Position
  /** Of the next record to be acknowledged. */
  nextSequence: number
  nextFileNumber: number
  /** Undrained records. */
  records: number
  /** When the oldest of them was written, or a time shortly before; null when there is none. Ms since 1970. */
  oldestMs: number | null

  constructor (state: CatalogState) {
    this.files = state.files
    this.head = state.head
    this.nextSequence = state.nextSequence
    this.nextFileNumber = state.nextFileNumber
    this.records = state.records
    this.oldestMs = state.oldestMs
  }

  /** Of all undrained files. */
  get bytes (): number {
    let bytes = 0
    for (const file of this.files) bytes += file.bytes
    return bytes
  }

  isDrained (file: LogFile): boolean {
    return file.lastSequence <= this.head.sequence
  }

  /** Takes the sealed files out that are drained, so that they may be deleted. */
  takeDrained (): LogFile[] {
    const drained: LogFile[] = []
    for (let first = this.files[0]; first?.isSealed === true && this.isDrained(first); first = this.files[0]) {
      this.files.shift()
      drained.push(first)
    }
    return drained
  }
}

/** The name of a log file, such as 00000001.log. */
export function logFileName (number: number): string {
  return `${String(number).padStart(8, '0')}.log`
}

/** The number in a log file's name; null for other names. */
export function logFileNumber (name: string): number | null {
  const digits = /^(\d{8,10})\.log$/.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}
