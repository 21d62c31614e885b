import type { Caller } from '../database/pool.ts'

const PARTITIONS_PER_STEP = 1000

/**
 * Move the cursors of a group that was to start later than it was made, and has, to that time: pops look for it until then,
 * and would skip what a seek has gone back for. Does nothing for other groups. In bounded steps.
 * @throws what the call throws
 */
export async function settleStart (caller: Caller, groupId: string, pause: () => Promise<void> = async () => {}): Promise<void> {
  for (let after: string | null = '0'; after !== null; await pause()) {
    const from: string = after
    const [row]: { after: string | null }[] = await caller.call<{ after: string | null }>((sql, schema) => sql`
      select ${schema}.settle_start_v1(${groupId}::bigint, ${from}::bigint, ${PARTITIONS_PER_STEP}::int) as after`)
    after = row?.after ?? null
  }
}
