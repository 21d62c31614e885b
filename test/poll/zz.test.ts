import t from 'tap'
import { LOOK, payloads, parked, poll, startWatched, untilParked } from './parked.ts'
t.test('x', async t => {
  let t0 = performance.now()
  const log = (s: string): void => { console.error(Math.round(performance.now() - t0), s) }
  const { service, proxy } = await startWatched(t, { })
  log('started')
  const partitions = Array.from({ length: 500 }, (_, i) => `p${i}`)
  await service.push(partitions.map(partition => ({ queue: 'apart', partition, payload: 0 })))
  log('pushed')
  log(String((await service.pop('apart?batch=1000&partitions=1000&autoAck=true')).json.messages.length))
  const apart = partitions.map(partition => poll(service, `apart/partition/${partition}`))
  const together = partitions.map(() => poll(service, 'together'))
  await untilParked(service, 1000, proxy)
  log('parked ' + proxy.count(LOOK))
  await new Promise(resolve => setTimeout(resolve, 1500))
  log('waited ' + proxy.count(LOOK) + ' ' + await parked(service))
  const n = proxy.statements.length
  await service.push([{ queue: 'apart', partition: 'p77', payload: 'for 77' }])
  log('pushed')
  payloads(await apart[77]!.answer)
  log('answered')
  await untilParked(service, 999, proxy)
  log('999 ' + proxy.statements.slice(n).map(s => /\w+_v1|\w+ \w+/.exec(s)?.[0]).join('|'))
  for (const p of [...apart, ...together]) p.leave()
})
