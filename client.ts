/** The client of Regent's request/reply channels. Loads neither Fastify nor a database driver. */
export { connectChannel } from './services/client/connect-channel.ts'
export type { ConnectChannelOptions } from './services/client/connect-channel.ts'
export { ChannelClient } from './services/client/channel-client.ts'
export type { ChannelClientOptions, ChannelState, ReceiveOptions, Receiving, SendOptions } from './services/client/channel-client.ts'
export { CHANNEL_ERRORS, ChannelError } from './services/client/channel-error.ts'
export type { ChannelErrorCode } from './services/client/channel-error.ts'
export type { Body } from './services/client/outgoing-body.ts'
export type { Handler, IncomingRequest } from './services/client/served-request.ts'
