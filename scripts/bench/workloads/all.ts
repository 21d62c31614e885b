import { bareRouteWorkload } from './bare-route.ts'
import { channelWorkloads } from './channels.ts'
import type { Workload } from './context.ts'
import { denseWorkload } from './dense.ts'
import { fanOutWorkload } from './fan-out.ts'
import { graphileWorkloads } from './graphile-worker.ts'
import { idleWorkload, slowReadersWorkload } from './idle.ts'
import { mixedWorkload } from './mixed.ts'
import { bufferWorkload, drainWorkload } from './outage.ts'
import { pgBossWorkloads } from './pg-boss.ts'
import { popWorkloads } from './pop.ts'
import { autocannonWorkload, pushWorkloads } from './push.ts'
import { insertWorkloads, takeWorkloads } from './rows.ts'
import { sparseWorkloads } from './sparse.ts'
import { stayWorkloads } from './stay.ts'
import { transactionWorkload } from './transaction.ts'
import { wakeWorkload } from './wake.ts'

/** In the order in which they are run and shown. */
export const WORKLOADS: Workload[] = [
  ...pushWorkloads, autocannonWorkload, bufferWorkload, drainWorkload,
  ...insertWorkloads, bareRouteWorkload,
  ...popWorkloads, transactionWorkload, fanOutWorkload,
  ...takeWorkloads,
  ...pgBossWorkloads, ...graphileWorkloads,
  wakeWorkload, ...sparseWorkloads, denseWorkload, mixedWorkload, idleWorkload, slowReadersWorkload,
  ...channelWorkloads,
  ...stayWorkloads
]
