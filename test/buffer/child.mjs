// A process with a buffer, to be killed. Arguments: the compiled file-buffer.js, the folder, what to do.
// Prints a line for each thing that was acknowledged: `+ value` appended, `- sequence` released.
import { writeSync } from 'node:fs'

const [module, directory, task] = process.argv.slice(2)
const { FileBuffer } = await import(module)
const log = { debug () {}, info () {}, warn () {}, error () {} }
const say = line => { writeSync(1, `${line}\n`) }

let buffer
try {
  buffer = await FileBuffer.open({ directory, maxBytes: 1 << 30, fileBytes: task === 'rotate' ? 400 : 1 << 20, log })
} catch (error) {
  say(`refused ${error.code} ${error.message}`)
  process.exit(3)
}
say('open')

if (task !== 'hold') for (let worker = 0; worker < 8; worker++) void append(worker)
if (task === 'release') void release()
// The lock alone does not keep a process alive.
setInterval(() => {}, 1000)

async function append (worker) {
  for (let n = 0; ; n++) {
    const value = `${process.pid}.${worker}.${n}.`.padEnd(20 + (n * 37) % 300, 'x')
    const { sequence } = await buffer.append(Buffer.from(value))
    say(`+ ${sequence} ${value}`)
  }
}

async function release () {
  for (;;) {
    const entries = await buffer.peek({ maxRecords: 5, maxBytes: 1 << 20 })
    const last = entries.at(-1)
    if (last !== undefined) {
      say(`? ${last.sequence}`)
      await buffer.release(last.sequence)
      say(`- ${last.sequence}`)
    }
    await new Promise(resolve => { setImmediate(resolve) })
  }
}
