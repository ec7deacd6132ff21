// What the log server and its clients say to each other, as frames on a socket:
//
//   frame = u32 BE length of the rest, u32 BE length of header, header (JSON), body (raw bytes)
//
// Versions are decimal strings in the header. Only the reply to a peek has a body: a packed MessageBatch.

import type { Socket } from 'node:net';

export type LogRequest =
  | {
      readonly call: 'peek';
      readonly epoch: number;
      readonly tagId: number;
      readonly begin: string;
      readonly maxBytes: number;
    }
  | { readonly call: 'pop'; readonly epoch: number; readonly tagId: number; readonly upTo: string }
  | { readonly call: 'minKnownCommittedVersion'; readonly epoch: number }
  | { readonly call: 'committedVersion' };

/** `cancel` withdraws the request of that id; its reply may still come. */
export type RequestHeader = { readonly id: number } & (LogRequest | { readonly call: 'cancel' });

export type LogAnswer =
  | { readonly durableVersion: string }
  | { readonly durableVersion: string; readonly end: string; readonly popped: string | null };

export interface RemoteError {
  readonly message: string;
  /** True when it is the request's fault: the same request would fail again. */
  readonly permanent: boolean;
}

export type ReplyHeader = { readonly id: number } & ({ readonly answer: LogAnswer } | { readonly error: RemoteError });

export interface Frame<Header> {
  readonly header: Header;
  readonly body: Uint8Array;
}

/** A version of the log comes whole, however large it is; beyond this something is wrong. */
const MAX_FRAME_BYTES = 1 << 30;
const EMPTY_BODY = new Uint8Array(0);

export function sendFrame(socket: Socket, header: RequestHeader | ReplyHeader, body: Uint8Array = EMPTY_BODY): void {
  const json = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8);
  start.writeUInt32BE(4 + json.length + body.length, 0);
  start.writeUInt32BE(json.length, 4);
  socket.cork();
  socket.write(start);
  socket.write(json);
  if (body.length > 0) socket.write(body);
  socket.uncork();
}

/** The frames that arrive on a socket. Ends when the socket does; a connection that breaks inside a frame is an error. */
export async function* framesOf<Header>(socket: Socket): AsyncGenerator<Frame<Header>> {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let wanted = 4;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    while (bytes >= wanted) {
      const data = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      const length = 4 + data.readUInt32BE(0);
      if (length > MAX_FRAME_BYTES) throw new Error(`A frame of ${length} bytes is too large`);
      wanted = length;
      chunks = [data];
      if (bytes < length) break;
      yield parseFrame<Header>(data.subarray(4, length));
      chunks = [data.subarray(length)];
      bytes -= length;
      wanted = 4;
    }
  }
  if (bytes > 0) throw new Error('The connection broke inside a frame');
}

function parseFrame<Header>(data: Buffer): Frame<Header> {
  const headerEnd = 4 + data.readUInt32BE(0);
  return { header: JSON.parse(data.toString('utf8', 4, headerEnd)) as Header, body: data.subarray(headerEnd) };
}
