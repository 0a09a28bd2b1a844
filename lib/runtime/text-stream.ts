// The stream a caller iterates over: pieces of text wait here until they are asked for.

/** Text as it is written. Leaving the loop (`break`) ends the generation; `result` then has what was written so far. */
export interface TextStream<Result> extends AsyncIterableIterator<string> {
  readonly result: Promise<Result>;
}

/** What feeds a stream. */
export interface TextSource<Result> {
  /**
   * Starts the work. `push` gives text to the reader; `stopped()` says whether it has left.
   * The promise's value ends the stream and becomes `result`; its rejection reaches reader and `result`.
   */
  start(push: (text: string) => void): Promise<Result>;
  /** The reader has left. */
  stop(): void;
}

export function textStream<Result>(source: TextSource<Result>): TextStream<Result> {
  const waiting: string[] = [];
  const readers: { resolve(value: IteratorResult<string>): void; reject(error: unknown): void }[] = [];
  const end: IteratorResult<string> = { done: true, value: undefined };
  let state: "running" | "ended" | { error: unknown } = "running";

  const result = source.start((text) => {
    if (state !== "running" || text === "") return;
    const reader = readers.shift();
    if (reader === undefined) waiting.push(text);
    else reader.resolve({ done: false, value: text });
  });
  const close = (next: "ended" | { error: unknown }): void => {
    if (state !== "running") return;
    state = next;
    for (const reader of readers.splice(0)) {
      if (next === "ended") reader.resolve(end);
      else reader.reject(next.error);
    }
  };
  // The reader gets a failure from next(), whoever wants it also from `result`: a stream without reader is no unhandled rejection.
  result.then(
    () => close("ended"),
    (error: unknown) => close({ error }),
  );

  return {
    result,
    async next() {
      const text = waiting.shift();
      if (text !== undefined) return { done: false, value: text };
      if (state === "running") return new Promise((resolve, reject) => readers.push({ resolve, reject }));
      if (state === "ended") return end;
      const { error } = state;
      state = "ended"; // told once, as generators do
      throw error;
    },
    async return() {
      waiting.length = 0;
      if (state === "running") {
        close("ended");
        source.stop();
      }
      state = "ended";
      return end;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
