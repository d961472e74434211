// Fetch the frames of the last two minutes, which passed before this page was opened.

/** A batch's length stands before it, in bytes of this many, big-endian. */
const HEAD = 4;

/** Return the lines of one batch: messages, compressed together. */
async function unpack(batch: Uint8Array<ArrayBuffer>): Promise<string[]> {
  const stream = new Blob([batch]).stream().pipeThrough(new DecompressionStream("deflate"));
  const text = await new Response(stream).text();
  return text.split("\n").filter((line) => line !== "");
}

/** Cut what arrives into batches, and return the lines of those that are whole; the newest is the first. */
export async function* batches(body: ReadableStream<Uint8Array>): AsyncGenerator<string[]> {
  const reader = body.getReader();
  let waiting = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(waiting.length + value.length);
    joined.set(waiting);
    joined.set(value, waiting.length);
    let at = 0;
    const whole: Promise<string[]>[] = [];
    while (joined.length >= at + HEAD) {
      const end = at + HEAD + new DataView(joined.buffer).getUint32(at);
      if (joined.length < end) break;
      whole.push(unpack(joined.slice(at + HEAD, end)));
      at = end;
    }
    waiting = joined.slice(at);
    for (const lines of await Promise.all(whole)) yield lines; // together: a busy page has few turns
  }
}

/** Hand over the history's messages batch by batch; a server that has none is passed over. */
export async function fetchHistory(actor: string, signal: AbortSignal, take: (lines: string[]) => void): Promise<void> {
  try {
    const answer = await fetch(`/history?actor=${encodeURIComponent(actor)}`, { signal });
    if (!answer.ok || answer.body === null) return;
    for await (const lines of batches(answer.body)) {
      if (signal.aborted) return;
      take(lines);
    }
  } catch {
    // The page goes on with what comes by its connection, and asks again when it reconnects.
  }
}
