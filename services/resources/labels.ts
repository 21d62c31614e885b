import type { Pool } from '../database/pool.ts'

/** A namespace or a task with the sums over its queues. */
export interface Label {
  label: string
  queues: number
  partitions: number
  total: number
  pending: number
}

interface LabelRow { label: string, queues: number, partitions: number, total: string, pending: string }

/** The namespaces or the tasks in use, by name. Throws what Pool.call throws. */
export async function listLabels (pool: Pool, kind: 'namespaces' | 'tasks'): Promise<Label[]> {
  const rows = await pool.call<LabelRow & Record<string, unknown>>((sql, schema) => sql`
    select * from ${schema}.list_labels_v1(${kind === 'tasks'}::boolean)`)
  return rows.map(({ label, queues, partitions, total, pending }) =>
    ({ label, queues, partitions, total: Number(total), pending: Number(pending) }))
}
