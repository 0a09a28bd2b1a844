// Random numbers that depend on (seed, stream, position) alone: Philox4x32-10 (Salmon et al. 2011). The state is three plain values,
// so whatever uses them can be stopped, written to JSON and continued with the same draws.
import { invalidOption } from "../errors.js";

/** Everything a generator is: JSON in, JSON out. `counter` is how many 32-bit words have been drawn. */
export interface RandomState {
  readonly seed: number;
  readonly stream: string | number;
  readonly counter: number;
}

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const WORD = 0x1_0000_0000;

/** High 32 bits of a 32×32-bit product, in 16-bit halves because a double cannot hold all 64 bits. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle % 0x10000);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/**
 * One block of Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key (both as 32-bit words, lowest first).
 * Writes into `out` and returns it; equal to the reference implementation Random123.
 */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array = new Uint32Array(4)): Uint32Array {
  let c0 = (counter[0] ?? 0) >>> 0;
  let c1 = (counter[1] ?? 0) >>> 0;
  let c2 = (counter[2] ?? 0) >>> 0;
  let c3 = (counter[3] ?? 0) >>> 0;
  let k0 = (key[0] ?? 0) >>> 0;
  let k1 = (key[1] ?? 0) >>> 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/** FNV-1a over the UTF-16 code units, 32 bits. A hash for spreading and splitting, not for security. */
export function hashString(text: string, start = 0x811c9dc5): number {
  let hash = start >>> 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  // FNV's low bits mix badly on short texts; the finaliser of MurmurHash3 spreads them.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * A seeded stream of random numbers. The same (seed, stream) gives the same numbers on every machine, and two streams of one seed
 * are independent: name them after what they are for, e.g. `new Random(1, "rollout/3")`.
 *
 * @param seed a safe integer
 * @param stream a name or a safe integer; the number 3 and the text "3" are different streams. Default 0.
 * Throws `ERR_T2_INVALID_OPTION` for anything else.
 */
export class Random {
  readonly seed: number;
  readonly stream: string | number;
  #drawn = 0;
  readonly #key: Uint32Array;
  readonly #counter: Uint32Array;
  readonly #block = new Uint32Array(4);
  #blockIndex = -1;

  constructor(seed: number, stream: string | number = 0) {
    if (!Number.isSafeInteger(seed)) throw invalidOption("seed", "a safe integer", seed);
    if (typeof stream === "number" && !Number.isSafeInteger(stream)) throw invalidOption("stream", "a safe integer or a text", stream);
    this.seed = seed;
    this.stream = stream;
    this.#key = Uint32Array.of(seed >>> 0, Math.floor(seed / WORD) >>> 0);
    const name = typeof stream === "number" ? `#${stream}` : `"${stream}`;
    this.#counter = Uint32Array.of(0, 0, hashString(name), hashString(name, 0x9747b28c));
  }

  /** A generator that goes on where `state()` was taken. */
  static from(state: RandomState): Random {
    const random = new Random(state.seed, state.stream);
    if (!Number.isSafeInteger(state.counter) || state.counter < 0) throw invalidOption("counter", "a safe integer ≥ 0", state.counter);
    random.#drawn = state.counter;
    return random;
  }

  /** What `Random.from` needs to go on from here. */
  state(): RandomState {
    return { seed: this.seed, stream: this.stream, counter: this.#drawn };
  }

  /** A whole number in [0, 2³²). Costs one word. */
  nextUint32(): number {
    const index = Math.floor(this.#drawn / 4);
    if (index !== this.#blockIndex) {
      this.#counter[0] = index >>> 0;
      this.#counter[1] = Math.floor(index / WORD) >>> 0;
      philox4x32(this.#counter, this.#key, this.#block);
      this.#blockIndex = index;
    }
    const word = this.#block[this.#drawn % 4] as number;
    this.#drawn++;
    return word;
  }

  /** A number in [0, 1) with 53 random bits. Costs two words. */
  float(): number {
    const high = this.nextUint32() >>> 5; // 27 bits
    const low = this.nextUint32() >>> 6; // 26 bits
    return (high * 0x4000000 + low) / 0x20000000000000;
  }

  /** A whole number in [0, n), every one equally likely. `n` from 1 to 2³². */
  int(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > WORD) throw invalidOption("n", "a whole number from 1 to 4294967296", n);
    const limit = WORD - (WORD % n);
    let word = this.nextUint32();
    while (word >= limit) word = this.nextUint32();
    return word % n;
  }

  /** One of the items. Throws `ERR_T2_INVALID_OPTION` on an empty list. */
  choice<T>(items: readonly T[]): T {
    if (items.length === 0) throw invalidOption("items", "a list of at least one item", items);
    return items[this.int(items.length)] as T;
  }

  /** The items in random order, as a new array (Fisher–Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const swap = result[i] as T;
      result[i] = result[j] as T;
      result[j] = swap;
    }
    return result;
  }

  /** A draw from N(0, 1) (Box–Muller; its second number is not kept, so that the state stays one counter). Costs four words. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.float()));
    return radius * Math.cos(2 * Math.PI * this.float());
  }
}
