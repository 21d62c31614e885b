// What framing and two sockets cost by themselves: a TCP server that reads channel frames and sends each back to whoever
// wrote it, header and payload as they came.
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { AT, HEADER_BYTES } from '../../services/channels/wire.ts'

const server = createServer({ noDelay: true }, socket => {
  const header = Buffer.alloc(HEADER_BYTES)
  let headerBytes = 0
  let payloadLeft = 0
  let isPaused = false
  const write = (bytes: Buffer): void => {
    if (socket.write(bytes) || isPaused) return
    isPaused = true
    socket.pause()
    socket.once('drain', () => {
      isPaused = false
      socket.resume()
    })
  }
  socket.on('data', chunk => {
    socket.cork()
    for (let at = 0; at < chunk.length;) {
      if (payloadLeft > 0) {
        const piece = chunk.subarray(at, at + payloadLeft)
        write(piece)
        payloadLeft -= piece.length
        at += piece.length
        continue
      }
      const taken = chunk.copy(header, headerBytes, at, at + HEADER_BYTES - headerBytes)
      headerBytes += taken
      at += taken
      if (headerBytes < HEADER_BYTES) continue
      headerBytes = 0
      payloadLeft = header.readUInt32BE(AT.payloadBytes)
      write(Buffer.from(header))
    }
    socket.uncork()
  })
  // The generator resets what it has no more use for.
  socket.on('error', () => { socket.destroy() })
})
server.listen(0, '127.0.0.1', () => { console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) }) // it listens on TCP
process.once('SIGTERM', () => { process.exit() })
