import { count, described, errorResponses, flagParameter, object, optionalBody, params, query, text, uuid, wholeParameter } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

const BYTES = 'application/octet-stream'
const NIL = '00000000-0000-0000-0000-000000000000'
const CHANNEL: Schema = { ...uuid, not: { const: NIL }, description: 'Any UUID but the nil one: whoever names the same meets there' }
const BODY = optionalBody({ description: 'Any bytes, as many as there are' })

/** @param channelsDefaultTimeoutMs what counts when none is given, or none above zero */
export function channelSchemas ({ channelsDefaultTimeoutMs }: { channelsDefaultTimeoutMs: number }): Record<'send' | 'next' | 'reply', Operation> {
  const timeout: Schema = {
    ...wholeParameter({ default: channelsDefaultTimeoutMs, min: 1, max: 2_147_483_647 }, 'Milliseconds.'),
    description: 'Longest time in milliseconds. What is no number above zero counts as the default.'
  }
  return {
    send: {
      operationId: 'sendRequest',
      summary: 'Send a request to one receiver of a channel',
      tags: ['channels'],
      consumes: [BYTES],
      params: params({ channel: CHANNEL }),
      querystring: query({ timeout }),
      body: BODY,
      response: {
        200: bytes('The reply. One that is broken off ends before its time.'),
        ...errorResponses('RGT_FIELD_INVALID', 'RGT_CHANNEL_TIMEOUT', 'RGT_CHANNEL_FULL', 'RGT_CHANNEL_RECEIVER_LEFT', 'RGT_OVERLOADED', 'RGT_SHUTTING_DOWN')
      }
    },
    next: {
      operationId: 'takeRequest',
      summary: 'Take the next request of a channel',
      description: 'HEAD is not answered: it would take a request and throw it away.',
      tags: ['channels'],
      params: params({ channel: CHANNEL }),
      querystring: query({ wait: flagParameter('Whether to wait for one when there is none.'), timeout }),
      response: {
        200: {
          ...bytes('The request. What was sent over HTTP with the headers `traceparent` and `tracestate` comes with them.'),
          headers: {
            'x-channel-request': described(uuid, 'What it is replied to by'),
            'x-channel-timeout': described(count, 'Milliseconds that are left for the reply'),
            location: described(text, 'Where the reply is sent')
          }
        },
        204: { description: 'There was none in time', type: 'null' },
        ...errorResponses('RGT_FIELD_INVALID', 'RGT_CHANNEL_REQUEST_OVER', 'RGT_OVERLOADED')
      }
    },
    reply: {
      operationId: 'sendReply',
      summary: 'Reply to a request that was taken',
      tags: ['channels'],
      consumes: [BYTES],
      params: params({ channel: CHANNEL, id: described(uuid, 'Of the request') }),
      body: BODY,
      response: {
        200: { description: 'The sender has all of it', ...object({ success: { const: true } }) },
        ...errorResponses('RGT_FIELD_INVALID', 'RGT_CHANNEL_REQUEST_UNKNOWN', 'RGT_CHANNEL_REPLY_UNDER_WAY', 'RGT_CHANNEL_REQUEST_OVER', 'RGT_CHANNEL_TIMEOUT')
      }
    }
  }
}

function bytes (description: string): Schema {
  return { description, content: { [BYTES]: { schema: {} } } }
}
