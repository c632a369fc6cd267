/** What another server answers to us, of bounded size. */

/** Rejects with an Error, `tooLong` and the limit as its message, for more than `maxBytes`; the rest is not read. */
export async function readText({ body }: Response, maxBytes: number, tooLong: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop cancels the rest.
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`${tooLong} ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
