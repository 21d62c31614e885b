import { errorResponses } from './shared.ts'
import type { Operation } from './shared.ts'

export const channelsSocketSchema: Operation = {
  operationId: 'openChannels',
  summary: 'A WebSocket to the channels',
  description: 'A binary message is a frame. HEAD is not answered.',
  tags: ['channels'],
  response: {
    101: { description: 'It is one now', type: 'null' },
    ...errorResponses('RGT_REQUEST_INVALID', 'RGT_ORIGIN_REFUSED', 'RGT_UPGRADE_REQUIRED', 'RGT_CHANNELS_FULL')
  }
}
