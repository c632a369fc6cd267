/** Frames of RFC 6455 as a server sends them, read back. */

export interface WireFrame {
  readonly opcode: number;
  readonly final: boolean;
  readonly payload: Buffer;
}

/** Whole frames; throws for anything else, so that a test sees it. */
export function readFrames(bytes: Uint8Array): WireFrame[] {
  const data = Buffer.from(bytes);
  const frames: WireFrame[] = [];
  for (let at = 0; at < data.length; ) {
    const first = data[at] as number;
    const second = data[at + 1] as number;
    if ((first & 0x70) !== 0 || (second & 0x80) !== 0) throw new Error(`no server frame at ${at}`);
    let length = second;
    let head = 2;
    if (second === 126) {
      length = data.readUInt16BE(at + 2);
      head = 4;
    } else if (second === 127) {
      length = Number(data.readBigUInt64BE(at + 2));
      head = 10;
    }
    if (at + head + length > data.length)
      throw new Error(`a frame of ${length} bytes is cut at ${data.length}`);
    frames.push({
      opcode: first & 0x0f,
      final: (first & 0x80) !== 0,
      payload: data.subarray(at + head, at + head + length),
    });
    at += head + length;
  }
  return frames;
}
