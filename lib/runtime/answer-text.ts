// Tokens to text with stop texts: nothing of a stop is ever given out, also where it straddles tokens, so text that may still turn
// out to be the beginning of a stop is held back.

/** An incremental decoder that never splits a character; see Tokenizer.decodeStream. */
export interface TokenDecoder {
  /** Text that became complete with these tokens. */
  push(tokens: ArrayLike<number>): string;
  /** What was left; an incomplete character becomes U+FFFD. */
  end(): string;
}

export class AnswerText {
  readonly #decoder: TokenDecoder;
  readonly #stops: readonly string[];
  #held = "";
  #given = "";
  #stopped = false;

  constructor(decoder: TokenDecoder, stops: readonly string[]) {
    this.#decoder = decoder;
    this.#stops = stops;
  }

  /** All text given out so far. */
  get text(): string {
    return this.#given;
  }

  /** Whether a stop text has been written; nothing is taken after it. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Takes tokens up to the one that completes a stop.
   * Returns the text that can be given out now, and how many of the tokens were taken.
   */
  push(tokens: ArrayLike<number>): { text: string; taken: number } {
    if (this.#stopped) return { text: "", taken: 0 };
    if (this.#stops.length === 0) return { text: this.#take(this.#decoder.push(tokens)), taken: tokens.length };
    let text = "";
    let taken = 0;
    while (taken < tokens.length && !this.#stopped) {
      text += this.#take(this.#decoder.push([tokens[taken] as number]));
      taken++;
    }
    return { text, taken };
  }

  /** The rest, when no more tokens come. */
  end(): string {
    if (this.#stopped) return "";
    const text = this.#take(this.#decoder.end());
    // The end may itself complete a stop; otherwise what was held back is text after all.
    const rest = this.#stopped ? "" : this.#held;
    this.#held = "";
    this.#given += rest;
    return text + rest;
  }

  #take(piece: string): string {
    if (piece === "") return "";
    let text = this.#held + piece;
    const at = firstStop(text, this.#stops);
    if (at >= 0) {
      this.#stopped = true;
      this.#held = "";
      text = text.slice(0, at);
    } else {
      const keep = beginningOfStop(text, this.#stops);
      this.#held = text.slice(text.length - keep);
      text = text.slice(0, text.length - keep);
    }
    this.#given += text;
    return text;
  }
}

function firstStop(text: string, stops: readonly string[]): number {
  let first = -1;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (first < 0 || at < first)) first = at;
  }
  return first;
}

/** Length of the longest end of `text` with which a stop begins. */
function beginningOfStop(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
