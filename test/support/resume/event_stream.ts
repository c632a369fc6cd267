/** The parser of event streams (WHATWG HTML, 9.2.6), as strict about cursors as the strictest browser. */

export interface StreamItem {
  /** `message` unless it was named; empty for a comment. */
  readonly event: string;
  readonly data: string;
  /** The id of this event; undefined if it named none. */
  readonly id: string | undefined;
  /** A `retry` field, in ms. */
  readonly retry: number | undefined;
}

export interface EventStreamParser {
  /** What has become whole with this piece. Half an event is kept for the next piece, and never seen if there is none. */
  push(text: string): StreamItem[];
}

export function createEventStreamParser(): EventStreamParser {
  let rest = '';
  let first = true;
  let event = '';
  let data: string[] = [];
  let id: string | undefined;
  let retry: number | undefined;

  const dispatch = (items: StreamItem[]): void => {
    // Firefox and npm eventsource take no id from an event without a data line.
    if (data.length > 0) items.push({ event: event || 'message', data: data.join('\n'), id, retry });
    else if (retry !== undefined) items.push({ event: '', data: '', id: undefined, retry });
    event = '';
    data = [];
    id = undefined;
    retry = undefined;
  };

  const field = (line: string, items: StreamItem[]): void => {
    const colon = line.indexOf(':');
    if (colon === 0) {
      items.push({ event: '', data: line.slice(1), id: undefined, retry: undefined });
      return;
    }
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'event') event = value;
    else if (name === 'data') data.push(value);
    else if (name === 'id' && !value.includes('\0')) id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) retry = Number(value);
  };

  return {
    push: (text) => {
      const items: StreamItem[] = [];
      rest += first ? text.replace(/^\uFEFF/, '') : text;
      first &&= text === '';
      // A carriage return at the very end may be the first half of a line end.
      const whole = rest.endsWith('\r') ? rest.slice(0, -1) : rest;
      const lines = whole.split(/\r\n|\n|\r/);
      rest = (lines.pop() as string) + rest.slice(whole.length);
      for (const line of lines) {
        if (line === '') dispatch(items);
        else field(line, items);
      }
      return items;
    },
  };
}
