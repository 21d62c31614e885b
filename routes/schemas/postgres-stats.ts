import { count, described, integer, list, number, object, orNull, text, time } from './shared.ts'

const CACHE = { diskReads: count, cacheHits: count }
const TABLE = { schema: text, table: text }
const PERCENTAGE = described(orNull(number), 'Null where there is nothing to have a part of')
const HITS = object({ ...CACHE, hitRatio: PERCENTAGE })

/** PostgreSQL's own figures about our schema. Percentages are of a hundred. */
export const POSTGRES_STATS = object({
  timestamp: time,
  database: text,
  databaseCache: object({ database: text, ...CACHE, cacheHitRatio: PERCENTAGE }),
  tableCache: list(object({ ...TABLE, ...CACHE, cacheHitRatio: PERCENTAGE })),
  indexCache: list(object({ ...TABLE, index: text, ...CACHE, cacheHitRatio: PERCENTAGE })),
  cacheSummary: object({ tables: HITS, indexes: HITS }),
  deadTuples: list(object({ ...TABLE, deadTuples: count, liveTuples: count, deadPercentage: PERCENTAGE, lastVacuum: orNull(time), lastAutovacuum: orNull(time) })),
  hotUpdates: list(object({ ...TABLE, totalUpdates: count, hotUpdates: count, hotUpdatePercentage: PERCENTAGE })),
  activeQueries: described(list(object({
    pid: integer,
    duration: described(number, 'Seconds'),
    state: text,
    query: described(text, 'Its first 200 characters'),
    waitEventType: orNull(text),
    waitEvent: orNull(text)
  })), 'Statements that have been running for more than a second'),
  autovacuumStatus: list(object({ table: text, lastAutovacuum: orNull(time), deadTuples: count, autovacuumCount: count, autoanalyzeCount: count })),
  bufferConfig: object({ sharedBuffers: text, sharedBuffersSize: text }),
  bufferUsage: described(list(object({ object: text, bufferedSize: text, bufferedBytes: count, percentOfCache: number })),
    'Empty where the extension pg_buffercache is not there or not to be used'),
  tableSizes: list(object({
    table: text, totalSize: text, totalSizeBytes: count, tableSize: text, tableSizeBytes: count, indexSize: text, indexSizeBytes: count
  }))
})
