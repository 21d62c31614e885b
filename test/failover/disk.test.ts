import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { until } from '../support.ts'
import { bufferFolder, startBuffered, statuses, takeAll, untilDrained } from './support.ts'

const BIG = 'x'.repeat(20_000)

/** A file system of 512 KB; null where it takes more rights than the tests have. Unmounted after what uses it has ended. */
function smallDisk (t: Test): string | null {
  const folder = join(bufferFolder(t), 'disk')
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return null
  }
  t.teardown(() => { execFileSync('umount', ['--lazy', folder]) })
  return folder
}

t.test('a full disk refuses pushes, keeps what was accepted, and is used again when there is room', async t => {
  const disk = smallDisk(t)
  if (disk === null) {
    t.comment('skipped: mounting a tmpfs takes root')
    return
  }
  const ballast = join(disk, 'ballast')
  const { service, proxy } = await startBuffered(t, { fileBufferDir: join(disk, 'buffer') })
  await service.push([{ queue: 'q', payload: 'first' }])
  await proxy.leave()
  const accepted: string[] = ['first']
  const push = async (payload: string): Promise<number> => {
    const answer = await service.push([{ queue: 'q', payload, transactionId: payload.slice(0, 10) }])
    if (answer.status === 201) accepted.push(payload)
    else t.match(answer, { status: 503, json: { code: 'RGT_BUFFER_UNAVAILABLE', retryable: true } })
    return answer.status
  }
  writeFileSync(ballast, Buffer.alloc(256 * 1024))
  let n = 0
  await until(async () => await push(`a${n++} ${BIG}`) === 503)
  t.ok(accepted.length > 3)
  t.match((await service.call('GET', '/health')).json, { file_buffer: { state: 'unavailable' } })
  rmSync(ballast)
  await until(async () => await push(`b${n++} ${BIG}`) === 201)
  t.match((await service.call('GET', '/health')).json, { file_buffer: { state: 'buffering' } })
  await until(async () => await push(`c${n++} ${BIG}`) === 503)
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 'last' }])), ['queued'])
  t.strictSame(await takeAll(service, 'q'), [...accepted, 'last'])
})

t.test('a folder that cannot be used ends the start with its name', async t => {
  const folder = bufferFolder(t)
  writeFileSync(join(folder, 'file'), '')
  await t.rejects(startBuffered(t, { fileBufferDir: join(folder, 'file', 'below') }), { code: 'RGT_BUFFER_UNUSABLE', message: /FILE_BUFFER_DIR.*below/ })
})

t.test('a folder in use by a running service is refused, and free when that has closed', async t => {
  const { service, folder } = await startBuffered(t)
  await t.rejects(startBuffered(t, { fileBufferDir: folder }), { code: 'RGT_BUFFER_IN_USE', message: /FILE_BUFFER_DIR/ })
  await service.close()
  const next = await startBuffered(t, { fileBufferDir: folder })
  t.strictSame(statuses(await next.service.push([{ queue: 'q', payload: 1 }])), ['queued'])
})
