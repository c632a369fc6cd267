/** Several streams as one, in the order in which they have something. */

/**
 * Each is asked for its next value when its last one was taken, so nothing piles up; fails when one of them fails. Leaving the loop does
 * not end the streams: whoever opened them has a signal for that.
 */
export async function* merge<T>(streams: readonly AsyncIterable<T>[]): AsyncGenerator<T, void> {
  type Arrival = { readonly from: AsyncIterator<T>; readonly take: () => IteratorResult<T> };
  const arrivals: Arrival[] = [];
  let wake = () => {};
  const ask = (from: AsyncIterator<T>) => {
    const arrive = (take: Arrival['take']) => {
      arrivals.push({ from, take });
      wake();
    };
    const fail = (thrown: unknown) =>
      arrive(() => {
        throw thrown;
      });
    from.next().then((result) => arrive(() => result), fail);
  };
  let open = streams.length;
  for (const stream of streams) ask(stream[Symbol.asyncIterator]());
  while (open > 0) {
    const arrival = arrivals.shift();
    if (arrival === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    const { value, done } = arrival.take();
    if (done === true) {
      open -= 1;
      continue;
    }
    yield value;
    ask(arrival.from);
  }
}
