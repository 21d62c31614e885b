import t from 'tap'
import { connect, startService } from '../support.ts'

t.test('status', async t => {
  const service = await startService(t, { workerId: 'worker-5', metricsSampleMs: 20, metricsAggregateSeconds: 3600 })
  const sql = connect(t, service.databaseUrl)
  const get = async (path: string): Promise<any> => {
    const { status, json, text } = await service.call('GET', `/api/v1/${path}`)
    t.equal(status, 200, `${path} ${text}`)
    return json
  }

  t.test('the whole in figures: fields and types', async t => {
    await service.call('POST', '/api/v1/configure', { queue: 'unused' })
    await service.call('POST', '/api/v1/configure', { queue: 'used', namespace: 'shop', task: 'bill' })
    await service.push([1, 2, 3, 4].map(payload => ({ queue: 'used', payload })))
    const { messages } = (await service.pop('used?batch=3')).json
    await service.call('POST', '/api/v1/ack', { ...messages[2], status: 'completed' })
    await service.call('POST', '/api/v1/stats/refresh')
    const status = await get('status')
    t.same(Object.keys(status).sort(), ['bucketMinutes', 'deadLetterQueue', 'errors', 'leases', 'messages', 'pointCount', 'queues', 'statsAge', 'throughput', 'timeRange', 'workers'])
    t.equal(status.bucketMinutes, 1)
    t.equal(Date.parse(status.timeRange.to) - Date.parse(status.timeRange.from), 3_600_000)
    t.equal(status.pointCount, status.throughput.length)
    const [point] = status.throughput
    const figures = ['ingested', 'processed', 'popMessages', 'ingestedPerSecond', 'processedPerSecond', 'popPerSecond', 'avgLagMs', 'maxLagMs', 'avgEventLoopLagMs',
      'maxEventLoopLagMs', 'minFreeSlots', 'dbErrors', 'ackFailed', 'dlqCount', 'queenCpuUserPct', 'queenCpuSysPct', 'queenRssMb', 'dbPoolActive', 'dbPoolIdle', 'dbPoolSize']
    t.same(Object.keys(point), ['timestamp', ...figures])
    for (const name of figures) t.type(point[name], 'number', name)
    t.match(point.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$/)
    t.ok(point.queenRssMb > 1 && point.queenRssMb < 10_000)
    t.equal(point.dbPoolSize, 20)
    t.same(status.queues.map(({ id: _id, ...queue }: any) => queue), [{ name: 'used', namespace: 'shop', task: 'bill', partitions: 1, totalConsumed: 1 }])
    t.match(status.queues[0].id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    t.match(status.messages, { total: 4, pending: 3, processing: 0, completed: 1, failed: 0, deadLetter: 0 })
    t.same(status.leases, { active: 1, partitionsWithLeases: 1, totalBatchSize: 3, totalAcked: 1 })
    t.equal(status.workers.length, 1)
    const { hostname, ...worker } = status.workers[0]
    t.type(hostname, 'string')
    t.same(Object.keys(worker), ['workerId', 'avgEventLoopLagMs', 'maxEventLoopLagMs', 'freeSlots', 'dbConnections', 'jobQueueSize', 'messagesProcessed'])
    t.match(worker, { workerId: 5, freeSlots: Number, dbConnections: 20, jobQueueSize: 0, messagesProcessed: 8 })
    t.ok(Number.isInteger(status.statsAge) && status.statsAge >= 0)
  })

  t.test('process figures are null where no process was sampled', async t => {
    await sql`insert into regent.queue_metrics (bucket, queue, hostname, worker_id, push_messages) values ('2020-01-01T00:00:00Z', 'used', 'h', 'w', 7)`
    const { throughput } = await get('status?namespace=shop&from=2020-01-01&to=2020-01-01T01:00:00Z')
    t.match(throughput, [{ timestamp: '2020-01-01T00:00:00Z', ingested: 7, ingestedPerSecond: 7 / 60, queenCpuUserPct: null, queenCpuSysPct: null, queenRssMb: null, dbPoolActive: null, dbPoolIdle: null, dbPoolSize: null }])
    t.same((await get('status?task=other&from=2020-01-01&to=2020-01-01T01:00:00Z')).throughput, [])
    t.same((await get('status?task=other')).queues, [])
  })

  t.test('messages per unit of time, in steps of that unit', async t => {
    await sql`insert into regent.queue_metrics (bucket, queue, hostname, worker_id, push_messages) values
      ('2021-01-31T23:59:00Z', 'used', 'h', 'w', 1), ('2021-02-01T00:00:00Z', 'used', 'h', 'w', 2), ('2021-02-01T01:30:00Z', 'used', 'h', 'w', 4),
      ('2021-03-31T12:00:00Z', 'used', 'h', 'w', 8), ('2021-02-01T00:00:00Z', 'elsewhere', 'h', 'w', 100)`
    const points = async (query: string): Promise<any> => (await get(`status/analytics?${query}`)).dataPoints.map((point: any) => [point.timestamp, point.messages])
    t.same(await points('interval=month&queue=used&from=2021-01-15&to=2021-04-01'), [
      ['2021-01-01T00:00:00.000Z', 1], ['2021-02-01T00:00:00.000Z', 6], ['2021-03-01T00:00:00.000Z', 8], ['2021-04-01T00:00:00.000Z', 0]])
    t.same(await points('interval=week&task=bill&from=2021-01-31&to=2021-02-14'), [
      ['2021-01-25T00:00:00.000Z', 1], ['2021-02-01T00:00:00.000Z', 6], ['2021-02-08T00:00:00.000Z', 0]])
    t.same(await points('interval=day&from=2021-01-31&to=2021-02-02'), [
      ['2021-01-31T00:00:00.000Z', 1], ['2021-02-01T00:00:00.000Z', 106], ['2021-02-02T00:00:00.000Z', 0]])
    t.same(await points('namespace=shop&from=2021-02-01T00:00:00Z&to=2021-02-01T02:00:00Z'), [
      ['2021-02-01T00:00:00.000Z', 2], ['2021-02-01T01:00:00.000Z', 4], ['2021-02-01T02:00:00.000Z', 0]])
    t.same(await points('interval=minute&queue=used&from=2021-01-31T23:58:30Z&to=2021-02-01T00:00:10Z'), [
      ['2021-01-31T23:58:00.000Z', 0], ['2021-01-31T23:59:00.000Z', 1], ['2021-02-01T00:00:00.000Z', 2]])
    const whole = await get('status/analytics?interval=hour')
    t.same(Object.keys(whole).sort(), ['dataPoints', 'from', 'interval', 'to'])
    t.equal(whole.interval, 'hour')
    t.equal(Date.parse(whole.to) - Date.parse(whole.from), 86_400_000)
    t.equal(whole.dataPoints.length, 25)
    t.equal(whole.dataPoints.reduce((sum: number, point: any) => sum + Number(point.messages), 0), 4)
  })

  t.test('units that are none and too many points are refused', async t => {
    for (const query of ['interval=second', 'interval=hours', 'interval=toString', 'interval=minute&from=2021-01-01&to=2021-02-01']) {
      const { status, json } = await service.call('GET', `/api/v1/status/analytics?${query}`)
      t.equal(status, 400, query)
      t.match(json, { code: 'RGT_FIELD_INVALID', field: 'interval', error: String })
    }
  })

  t.test('there is no file buffer', async t => {
    t.same(await get('status/buffers'), {
      pending: 0, failed: 0, dbHealthy: true, worker: 5, state: 'direct', buffer: null, note: 'This process has no file buffer'
    })
  })
})
