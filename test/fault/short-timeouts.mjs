// Loaded into a server process before anything else (node --import): every limit that the server sets on its connections
// passes ten times sooner, so that tests need not wait minutes for it. Which limits there are, and that one is shorter
// than another, stays the server's own doing.
import { Server } from 'node:http'
import { Socket } from 'node:net'

const TIMES = 10
const { listen } = Server.prototype
const { setTimeout } = Socket.prototype

Server.prototype.listen = function (...args) {
  // The time a connection is kept goes through setTimeout.
  for (const name of ['headersTimeout', 'requestTimeout', 'connectionsCheckingInterval']) this[name] /= TIMES
  return listen.apply(this, args)
}

Socket.prototype.setTimeout = function (timeoutMs, ...rest) {
  // Only those that came to a server of ours have one.
  return setTimeout.call(this, this.server instanceof Server ? timeoutMs / TIMES : timeoutMs, ...rest)
}
