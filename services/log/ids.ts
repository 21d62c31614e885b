/**
 * Wire ids are addresses: a UUID of version 8 that holds a partition (48 bits) and a position in it (64 bits, 0 for the
 * partition itself). No id is stored and none needs an index. Within a partition, ids sort in delivery order.
 * The SQL function `regent.message_id` is the same rule.
 *
 * Positions and partition numbers are JavaScript numbers: at a million messages a second a partition reaches 2^53 in
 * 285 years.
 */
const ADDRESS = /^([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f]{3})-([0-9a-f]{12})$/i

/** The UUID of a message; of the partition itself when `position` is 0. */
export function messageId (partition: number, position: number): string {
  return messageIdPrefix(partition) + positionSuffix(position)
}

/** What all ids of one partition begin with; for callers that make many of them. */
export function messageIdPrefix (partition: number): string {
  const hex = partition.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-8`
}

/** The rest of an id, after `messageIdPrefix`. */
export function positionSuffix (position: number): string {
  const hex = position.toString(16).padStart(18, '0')
  return `${hex.slice(0, 3)}-8${hex.slice(3, 6)}-${hex.slice(6)}`
}

/** A queue's number in the form of a UUID, distinct from every partition and message id. */
export function queueUuid (id: number): string {
  return messageId(id, 0).replace('-8000-8', '-8000-9')
}

/** The address in a UUID, or null when the text is not one of ours. */
export function parseAddress (id: string): { partition: number, position: number } | null {
  const parts = ADDRESS.exec(id)
  if (parts === null) return null
  const partition = Number.parseInt(`${parts[1]}${parts[2]}`, 16)
  const position = Number.parseInt(`${parts[3]}${parts[4]}${parts[5]}`, 16)
  return Number.isSafeInteger(position) ? { partition, position } : null
}
