// One native generate call: events of all its samples → tokens, log-probs and text per sample. Stop texts are found here, on the
// decoded text; a sample that has written one is ended natively and whatever came after the stop is dropped, so the result does not
// depend on how far the engine had run ahead.
import type { Addon, GenerateEvent, GenerateRow, GenerateStats, ModelHandle } from "../../typings/addon.js";
import { AnswerText, type TokenDecoder } from "./answer-text.js";
import type { Job } from "./lifetime.js";
import { Pace } from "./pace.js";

/** What one sample has written. */
export interface Sample {
  text: string;
  tokens: Int32Array;
  logprobs: Float32Array | undefined;
  finishReason: "stop" | "length" | "aborted";
}

export interface GenerationCall {
  rows: GenerateRow[];
  mode: "auto" | "merged" | "factored";
  stops: readonly string[];
  decoder: () => TokenDecoder;
  /** Text as it becomes certain; needs rows with `stream`. */
  onText?: (row: number, sample: number, text: string) => void;
}

export interface RunningGeneration {
  /** [row][sample] */
  readonly result: Promise<{ samples: Sample[][]; stats: GenerateStats }>;
  /** Ends all samples; the result then has what was written so far. */
  cancel(): void;
}

/** Collects the events of one sample. */
class Collector {
  readonly #tokens: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #stopIds: Int32Array;
  readonly #answer: AnswerText;
  /** Tokens already given to the decoder. */
  #decoded = 0;
  #ended = false;
  #finish: Sample["finishReason"] = "aborted";

  constructor(answer: AnswerText, stopIds: Int32Array) {
    this.#answer = answer;
    this.#stopIds = stopIds;
  }

  get stopped(): boolean {
    return this.#answer.stopped;
  }

  add(event: GenerateEvent): void {
    for (const token of event.tokens) this.#tokens.push(token);
    if (event.logprobs !== null) for (const logprob of event.logprobs) this.#logprobs.push(logprob);
    if (event.finish !== "") this.#finish = event.finish;
  }

  /** Decodes what has arrived; returns the text that is certain now. */
  advance(): string {
    if (this.#answer.stopped) return "";
    // The token that ended the answer is no text, also where the vocabulary does not mark it as special.
    const last = this.#tokens.at(-1);
    const ended = this.#finish === "stop" && last !== undefined && this.#stopIds.includes(last);
    const end = this.#tokens.length - (ended ? 1 : 0);
    const { text, taken } = this.#answer.push(this.#tokens.slice(this.#decoded, end));
    this.#decoded += taken;
    return text;
  }

  /** The rest of the text, once the sample has ended. */
  end(): string {
    if (this.#ended) return "";
    this.#ended = true;
    return this.advance() + this.#answer.end();
  }

  sample(): Sample {
    const stopped = this.#answer.stopped;
    // Up to and including the token that completed the stop text; all of them otherwise.
    const count = stopped ? this.#decoded : this.#tokens.length;
    return {
      text: this.#answer.text,
      tokens: Int32Array.from(this.#tokens.slice(0, count)),
      logprobs: this.#logprobs.length === 0 ? undefined : Float32Array.from(this.#logprobs.slice(0, count)),
      finishReason: stopped ? "stop" : this.#finish,
    };
  }
}

/** Starts the call; it ends early when `job` is stopped. */
export function startGeneration(addon: Addon, model: ModelHandle, call: GenerationCall, job: Job): RunningGeneration {
  const collectors = call.rows.map((row) =>
    Array.from({ length: row.n }, () => new Collector(new AnswerText(call.decoder(), call.stops), row.stopIds)),
  );
  const incremental = call.rows.some((row) => row.stream);
  let id = -1;
  let over = false;

  const cancel = (row: number, sample: number): void => {
    if (!over) addon.generateCancel(model, id, row, sample);
  };
  const take = (event: GenerateEvent): void => {
    const collector = collectors[event.row]?.[event.sample];
    if (collector === undefined || collector.stopped) return;
    collector.add(event);
    if (!incremental) return;
    const text = event.finish === "" ? collector.advance() : collector.end();
    if (text !== "") call.onText?.(event.row, event.sample, text);
    if (collector.stopped && event.finish === "") cancel(event.row, event.sample);
  };

  const done = new Promise<GenerateStats>((resolve, reject) => {
    id = addon.generateStart(
      model,
      call.rows,
      call.mode,
      (events) => {
        try {
          for (const event of events) take(event);
        } catch (error) {
          // A consumer's or decoder's failure must not be lost in a native callback.
          cancel(-1, -1);
          reject(error);
        }
      },
      (error, stats) => {
        over = true;
        if (error !== null || stats === null) reject(error ?? new Error("generate ended without statistics"));
        else resolve(stats);
      },
    );
  });
  job.onStop(() => cancel(-1, -1));

  const result = done.then(async (stats) => {
    const pace = new Pace();
    const samples: Sample[][] = [];
    for (const row of collectors) {
      const finished: Sample[] = [];
      for (const collector of row) {
        collector.end();
        finished.push(collector.sample());
        await pace.tick();
      }
      samples.push(finished);
    }
    return { samples, stats };
  });
  return { result, cancel: () => cancel(-1, -1) };
}
