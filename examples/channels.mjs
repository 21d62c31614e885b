// Requests and replies over a channel. Start a server that has channels, then this:
//
//   CHANNELS_PORT=7632 npm start
//   node examples/channels.mjs tcp://localhost:7632
//
// `ws://localhost:6632/api/v1/channels` does as well, without CHANNELS_PORT.
import { createReadStream } from 'node:fs'
import { text } from 'node:stream/consumers'
import { connectChannel } from 'regent/client'

const url = process.argv[2] ?? 'tcp://localhost:7632'
// Any UUID: whoever knows it is on the channel.
const channel = '7f1f4c0e-4c1b-4b7a-9a3e-2f6f0a4f8f11'

// A receiver, here in the same process as the sender; they need to know nothing of each other but the channel.
const receiver = connectChannel({ url, channel })
receiver.receive(async function * ({ request }) {
  let lines = 0
  for await (const bytes of request) {
    lines += bytes.toString().split('\n').length - 1
    yield '.'
  }
  yield ` ${lines} lines`
}, { concurrency: 4 })

const sender = connectChannel({ url, channel })

// A text, and its reply as a text.
console.log(await text(sender.send('one\ntwo\n', { timeoutMs: 5000 })))

// A stream of any length, and its reply piece by piece.
for await (const piece of sender.send(createReadStream(new URL(import.meta.url)))) process.stdout.write(piece)
console.log()

// Nobody is given a request of its own, so this one waits in vain.
try {
  await text(receiver.send('anybody?', { timeoutMs: 100 }))
} catch (error) {
  console.log(error.code)
}

await sender.close()
await receiver.close()
