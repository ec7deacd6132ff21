// Looks into a zstd frame before it is decompressed, so that a bomb is found by its block headers. The package's decoder has no bound of its own: it gives what the frame makes.
//
// The frame format (RFC 8878): magic, header, blocks of a 3-byte header (last?, kind, size) and what it says, perhaps a checksum. Blocks that are stored or repeat a byte say what comes out; a compressed one makes 128 KiB at most.

import { refuseStored } from './codec-error.js';

const MAGIC = 0xfd2fb528;
const BLOCK_HEADER_BYTES = 3;
const MAX_BLOCK_BYTES = 128 * 1024;
const CHECKSUM_BYTES = 4;
/** Decoders take no larger window unless they are told to (ZSTD_WINDOWLOG_LIMIT_DEFAULT). */
const MAX_WINDOW_LOG = 27;
/** How much more than the stated length may come out of one run of the decoder. */
const SLACK_BYTES = 8 * MAX_BLOCK_BYTES;
/** A writer splits 128 KiB into 196 blocks at most; more of them per byte is somebody who wants to cost us time. */
const MIN_BYTES_PER_BLOCK = 512;
const MIN_BLOCKS = 256;

const RAW = 0;
const REPEATED = 1;
const COMPRESSED = 2;

const SINGLE_SEGMENT = 0x20;
const HAS_CHECKSUM = 0x04;

interface Frame {
  readonly stored: Uint8Array;
  readonly rawLength: number;
  readonly blocksAt: number;
  readonly hasChecksum: boolean;
  readonly contentSize: number | undefined;
}

interface Block {
  readonly at: number;
  readonly end: number;
  /** The most that can come out. */
  readonly bound: number;
}

/** Gives `decode` one frame that states its content size, and never one that can make much more than `rawLength` bytes. CORRUPT_FILE for what is no such frame. */
export function decodeZstdFrame(
  stored: Uint8Array,
  rawLength: number,
  decode: (frame: Uint8Array) => Uint8Array,
): Uint8Array {
  const frame = readHeader(stored, rawLength);
  const blocks = readBlocks(frame);
  const limit = 2 * rawLength + SLACK_BYTES;
  let bound = 0;
  for (const block of blocks) bound += block.bound;
  if (bound < rawLength) refuseStored('zstd', `${stored.length} bytes cannot become ${rawLength}`);
  if (bound > limit) measureInParts(frame, blocks, limit, decode);
  return decode(frame.contentSize === rawLength ? stored : withContentSize(frame));
}

function readHeader(stored: Uint8Array, rawLength: number): Frame {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length);
  const cut = (): never => refuseStored('zstd', 'it is cut off');
  if (stored.length < 6) cut();
  if (view.getUint32(0, true) !== MAGIC) refuseStored('zstd', 'it does not begin as a frame does');
  const descriptor = view.getUint8(4);
  if ((descriptor & 0x08) !== 0) refuseStored('zstd', 'a reserved bit is set');
  if ((descriptor & 0x03) !== 0) refuseStored('zstd', 'it needs a dictionary');
  const single = (descriptor & SINGLE_SEGMENT) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >>> 6] as number;
  const sizeAt = single ? 5 : 6;
  const blocksAt = sizeAt + sizeBytes;
  if (blocksAt > stored.length) cut();
  const contentSize = readContentSize(view, sizeAt, sizeBytes);
  if (contentSize !== undefined && contentSize !== rawLength) {
    refuseStored('zstd', `it states ${contentSize} bytes, the block ${rawLength}`);
  }
  return { stored, rawLength, blocksAt, contentSize, hasChecksum: (descriptor & HAS_CHECKSUM) !== 0 };
}

function readContentSize(view: DataView, at: number, bytes: number): number | undefined {
  if (bytes === 0) return undefined;
  if (bytes === 1) return view.getUint8(at);
  if (bytes === 2) return view.getUint16(at, true) + 256;
  const low = view.getUint32(at, true);
  return bytes === 4 ? low : view.getUint32(at + 4, true) * 2 ** 32 + low;
}

function readBlocks(frame: Frame): Block[] {
  const { stored, rawLength, hasChecksum } = frame;
  const blocks: Block[] = [];
  const most = MIN_BLOCKS + rawLength / MIN_BYTES_PER_BLOCK;
  const compressedBound = Math.min(MAX_BLOCK_BYTES, rawLength);
  let known = 0;
  let at = frame.blocksAt;
  for (let last = false; !last;) {
    if (at + BLOCK_HEADER_BYTES > stored.length) refuseStored('zstd', 'it is cut off');
    const header = (stored[at] as number) | ((stored[at + 1] as number) << 8) | ((stored[at + 2] as number) << 16);
    last = (header & 1) === 1;
    const kind = (header >>> 1) & 3;
    const size = header >>> 3;
    if (kind > COMPRESSED) refuseStored('zstd', 'a block is of a reserved kind');
    const end = at + BLOCK_HEADER_BYTES + (kind === REPEATED ? 1 : size);
    if (end > stored.length) refuseStored('zstd', 'it is cut off');
    if (kind === RAW || kind === REPEATED) known += size;
    if (known > rawLength || blocks.length > most) refuseStored('zstd', `it makes more than ${rawLength} bytes`);
    blocks.push({ at, end, bound: kind === COMPRESSED ? compressedBound : size });
    at = end;
  }
  if (at + (hasChecksum ? CHECKSUM_BYTES : 0) !== stored.length) refuseStored('zstd', 'it does not end with its frame');
  return blocks;
}

/**
 * The headers allow for more than there should be: compressed blocks may be much smaller than 128 KiB each. What they make is found by decompressing the first few, then more of them, always so many
 * that no more than `limit` bytes can come out.
 */
function measureInParts(
  frame: Frame,
  blocks: readonly Block[],
  limit: number,
  decode: (frame: Uint8Array) => Uint8Array,
): void {
  let made = 0;
  let next = 0;
  while (next < blocks.length) {
    let bound = made;
    while (next < blocks.length && bound + (blocks[next] as Block).bound <= limit) {
      bound += (blocks[next] as Block).bound;
      next++;
    }
    made = decode(firstBlocks(frame, blocks[next - 1] as Block)).length;
    if (made > frame.rawLength) refuseStored('zstd', `it makes more than ${frame.rawLength} bytes`);
  }
}

/** A frame of the blocks up to `last`. */
function firstBlocks(frame: Frame, last: Block): Uint8Array {
  const header = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, windowDescriptor(frame.rawLength));
  const part = joined(header, frame.stored.subarray(frame.blocksAt, last.end));
  const at = header.length + last.at - frame.blocksAt;
  part[at] = (part[at] as number) | 1;
  return part;
}

/** The window that holds `bytes`: all that this frame may look back to, up to what decoders allow. */
function windowDescriptor(bytes: number): number {
  const log = Math.max(10, Math.ceil(Math.log2(Math.max(bytes, 1))));
  return (Math.min(log, MAX_WINDOW_LOG) - 10) << 3;
}

/** The same frame, with its content size: a decoder then takes no more memory than that for its window, and checks the length. */
function withContentSize(frame: Frame): Uint8Array {
  const { stored, rawLength, blocksAt, hasChecksum } = frame;
  // Without a window of its own the content is the window, which may then be too large for a decoder.
  const single = rawLength <= 2 ** MAX_WINDOW_LOG;
  const header = new Uint8Array(single ? 13 : 14);
  const view = new DataView(header.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, 0xc0 | (single ? SINGLE_SEGMENT : 0) | (hasChecksum ? HAS_CHECKSUM : 0));
  if (!single) view.setUint8(5, windowDescriptor(rawLength));
  view.setUint32(header.length - 8, rawLength, true);
  return joined(header, stored.subarray(blocksAt));
}

function joined(header: Uint8Array, body: Uint8Array): Uint8Array {
  const all = new Uint8Array(header.length + body.length);
  all.set(header);
  all.set(body, header.length);
  return all;
}
