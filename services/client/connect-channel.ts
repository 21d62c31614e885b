import { ChannelClient } from './channel-client.ts'
import type { ChannelClientOptions } from './channel-client.ts'
import { ChannelError } from './channel-error.ts'
import type { Connect } from './connect.ts'
import { connectTcp } from './connect-tcp.ts'
import { connectWebSocket } from './connect-web-socket.ts'

export interface ConnectChannelOptions extends ChannelClientOptions {
  /** Where the server is: `tcp://host:port`, or `ws://host:port/api/v1/channels`, or `wss://` with the same. */
  url: string
  /** Of the request for a WebSocket, such as `authorization`; over TCP there is no place for them. */
  headers?: Readonly<Record<string, string>>
}

/**
 * A client of one channel of the server at a URL. It connects when there is something to do.
 * @throws ChannelError CHANNEL_OPTION_INVALID
 */
export function connectChannel ({ url, headers, ...options }: ConnectChannelOptions): ChannelClient {
  return new ChannelClient(connectorOf(url, headers), options)
}

function connectorOf (url: string, headers: ConnectChannelOptions['headers']): Connect {
  const { protocol, hostname, port } = URL.canParse(url) ? new URL(url) : { protocol: '', hostname: '', port: '' }
  if (protocol === 'ws:' || protocol === 'wss:') return connectWebSocket(url, headers ?? {})
  if (protocol !== 'tcp:' || hostname === '' || port === '') throw invalid('url: tcp://host:port, ws:// or wss:// is required', 'url')
  if (headers !== undefined) throw invalid('headers: there are none over TCP', 'headers')
  return connectTcp(hostname.replace(/^\[|\]$/g, ''), Number(port))
}

function invalid (detail: string, field: string): ChannelError {
  return new ChannelError('CHANNEL_OPTION_INVALID', { detail, field })
}
