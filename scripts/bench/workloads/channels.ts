import { measure } from '../measure.ts'
import type { EchoJob } from '../jobs.ts'
import { freePort } from '../service.ts'
import type { Workload } from './context.ts'

const LEAST_SECONDS = 1
const SIZES = [{ bytes: 100, text: '100 B' }, { bytes: 1024 ** 2, text: '1 MiB' }]

/** Exchanges over channels by pairs of clients, half of the time against a server that sends the frames back itself. */
export const channelWorkloads: Workload[] = SIZES.flatMap(({ bytes, text }) => [1, 8, 64].map(pairs => ({
  name: `channels-${bytes}x${pairs}`,
  title: `${pairs} pair${pairs === 1 ? '' : 's'}, ${text} there and back`,
  section: 'channels',
  connections: 2 * pairs,
  run: async context => {
    const seconds = Math.max(context.seconds / 2, LEAST_SECONDS)
    const port = await freePort()
    const { pid } = await context.startService({ CHANNELS_PORT: String(port), CHANNELS_HOST: '127.0.0.1' })
    const bareServer = await context.startServer('echo-server.js')
    const job: EchoJob = { kind: 'echo', port, pairs, payloadBytes: bytes, seconds, isBare: false }
    const bareJob = { ...job, port: Number(new URL(bareServer.url).port), isBare: true }
    if (context.warmUpSeconds > 0) {
      await context.generator.perform({ ...bareJob, seconds: context.warmUpSeconds / 2 })
      await context.generator.perform({ ...job, seconds: context.warmUpSeconds / 2 })
    }
    const bare = await context.generator.perform(bareJob)
    const measurement = await measure(job, context, { serverPid: pid })
    return {
      ...measurement,
      figures: {
        ...measurement.figures,
        barePerSecond: bare.messages / bare.seconds,
        bareMegabytesPerSecond: bare.figures.megabytesPerSecond ?? 0,
        bareP50Ms: bare.latency?.p50Ms ?? 0,
        bareP99Ms: bare.latency?.p99Ms ?? 0
      },
      faults: [...bare.faults, ...measurement.faults]
    }
  }
} satisfies Workload)))
