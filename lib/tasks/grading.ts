// Graders: pure functions that tell whether a completion gives the reference answer. Known wrong verdicts of other harnesses (commas and
// signs lost, numeric ARC keys, stop words) are tests in test/unit/grading.test.ts.
import { Transformer2Error } from "../errors.js";

export const graderNames = ["exact", "number", "choice", "regex"] as const;

/**
 * - `exact`: the same text, after trimming and with every run of white space as one space. Case counts.
 * - `number`: the same number; see `extractNumber` for what is read out of the completion.
 * - `choice`: the same letter; see `extractChoice`.
 * - `regex`: the answer is a JavaScript regular expression that matches somewhere in the completion.
 */
export type GraderName = (typeof graderNames)[number];

/** A number as a quotient of whole numbers, so that 0.1 + 0.2 style rounding never decides an answer. */
interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

// Thousands with commas (also LaTeX's {,}), plain digits with optional decimals, or a bare decimal part; a fraction may follow.
const digits = String.raw`(?:\d{1,3}(?:(?:,|\{,\})\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)`;
const currency = String.raw`(?:\\?[$€£])?`;
const latexFraction = String.raw`\\[dt]?frac\{(\d+)\}\{(\d+)\}`;
// A sign belongs to the number only at the start or after a space or an opening character: in "5-3" the minus is not 3's sign.
const numberPattern = new RegExp(
  String.raw`(?:(?<=^|[\s(\[{=:;$*"'])([-+−]))?${currency}(?:${latexFraction}|(${digits})(?:\s?\/\s?(${digits}))?)`,
  "g",
);

function parseDecimal(text: string): Rational {
  const [whole = "", fraction = ""] = text.replace(/\{,\}|,/g, "").split(".");
  return { numerator: BigInt(`${whole}${fraction}` || "0"), denominator: 10n ** BigInt(fraction.length) };
}

function divide(a: Rational, b: Rational): Rational | undefined {
  if (b.numerator === 0n) return undefined;
  return { numerator: a.numerator * b.denominator, denominator: a.denominator * b.numerator };
}

/** Longest text that is searched for a number: a completion of endless digits must not cost more than a glance. */
const SEARCHED = 20_000;

/** Every number in the text, with its sign, commas, currency and fraction understood. */
function numbers(text: string): Rational[] {
  return [...text.matchAll(numberPattern)].flatMap(([, sign, above, below, first, second]) => {
    const value =
      above !== undefined
        ? divide(parseDecimal(above), parseDecimal(below!))
        : second !== undefined
          ? divide(parseDecimal(first!), parseDecimal(second))
          : parseDecimal(first!);
    if (!value) return [];
    return [sign === "-" || sign === "−" ? { numerator: -value.numerator, denominator: value.denominator } : value];
  });
}

/** Content of the last \boxed{…}, braces counted; undefined when there is none or it never closes. */
export function lastBoxed(text: string): string | undefined {
  const start = text.lastIndexOf("\\boxed{");
  if (start < 0) return undefined;
  let depth = 0;
  for (let i = start + 6; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return text.slice(start + 7, i);
  }
  return undefined;
}

/** What follows the last `####`, otherwise what follows the last "answer is". */
function marked(text: string): string | undefined {
  const hashes = text.lastIndexOf("####");
  if (hashes >= 0) return text.slice(hashes + 4);
  const phrase = [...text.matchAll(/answer\s+is\s*:?/gi)].at(-1);
  return phrase && text.slice(phrase.index + phrase[0].length);
}

function findNumber(whole: string): Rational | undefined {
  const text = whole.slice(-SEARCHED);
  const place = lastBoxed(text) ?? marked(text);
  if (place !== undefined) {
    // Its first sentence counts, and there the result of an equation, otherwise the first number: "the answer is 5, not 6".
    const sentence = place.match(/^\s*[^.!?\n]*(?:\.\d[^.!?\n]*)*/)![0];
    const number = numbers(sentence.slice(sentence.lastIndexOf("=") + 1))[0] ?? numbers(place).at(-1);
    if (number) return number;
  }
  return numbers(text).at(-1);
}

/**
 * The number a completion gives, as a decimal or "a/b" text in lowest terms; undefined when it has none. In this order: the last
 * `\boxed{}`, what follows the last `####`, what follows the last "answer is", the last number of the text. Understood are signs,
 * thousands commas, `$`, `%` (the sign is dropped), decimals, fractions.
 *
 * @example extractNumber("So she has $1,234.50 left.") // "2469/2"
 */
export function extractNumber(text: string): string | undefined {
  const number = findNumber(text);
  if (!number) return undefined;
  const { numerator, denominator } = number;
  let a = numerator < 0n ? -numerator : numerator;
  let b = denominator;
  while (b !== 0n) [a, b] = [b, a % b];
  const divisor = a === 0n ? 1n : a;
  return denominator / divisor === 1n ? String(numerator / divisor) : `${numerator / divisor}/${denominator / divisor}`;
}

/** Whole numbers must be equal; others may differ by 1e-6 of their size (or by 1e-6 below 1), as decimals are cut somewhere. */
function sameNumber(a: Rational, b: Rational): boolean {
  const difference = a.numerator * b.denominator - b.numerator * a.denominator;
  if (difference === 0n) return true;
  const whole = (x: Rational) => x.numerator % x.denominator === 0n;
  if (whole(a) && whole(b)) return false;
  const scale = a.denominator * b.denominator;
  const magnitude = (x: bigint) => (x < 0n ? -x : x);
  const size = magnitude(b.numerator) * a.denominator; // |b| over the same scale
  return magnitude(difference) * 1_000_000n <= (size > scale ? size : scale);
}

/**
 * The option letter a completion chooses, A–J; undefined when it chooses none. In this order: the last "answer is X" or "answer: X", the
 * last `\boxed{X}`, a letter at the beginning ("B", "B. iron", "(B)"), the last letter with a bracket or stop behind it, the last letter
 * standing alone other than the words "A" and "I".
 */
export function extractChoice(text: string): string | undefined {
  const stated = [...text.matchAll(/answer(?:\s+is)?\s*:?\s*(?:\*\*)?\(?([A-J])\b(?!['’])/gi)].at(-1)?.[1];
  if (stated && stated === stated.toUpperCase()) return stated;
  const boxed = lastBoxed(text)?.match(/^\s*(?:\\text\{)?\(?([A-J])\b/)?.[1];
  if (boxed) return boxed;
  // "A dog …" begins with an article, not with option A: a lone A or I needs something behind it that is no word.
  const leading = text.match(/^[\s"'*(]*([A-J])(?:[\s"'*)]*$|[).:,\n]|\s+[-–—]|\*\*)/)?.[1] ?? text.match(/^[\s"'*(]*([B-HJ])\b/)?.[1];
  if (leading) return leading;
  const marked = [...text.matchAll(/(?:^|[\s("*])([A-J])[).:]/g)].at(-1)?.[1];
  if (marked) return marked;
  return [...text.matchAll(/(?<![\w'’])([B-HJ])(?![\w'’])/g)].at(-1)?.[1];
}

const squeeze = (text: string) => text.normalize("NFC").trim().replace(/\s+/g, " ");

/** Throws `ERR_T2_INVALID_TASK` when `answer` is nothing that `grader` could ever find right. */
export function checkAnswer(grader: GraderName, answer: string): void {
  const fail = (expected: string, cause?: unknown) => {
    throw new Transformer2Error(
      "ERR_T2_INVALID_TASK",
      `Answer ${JSON.stringify(answer)} does not suit the grader "${grader}": ${expected}.`,
      {
        detail: { grader, answer, expected },
        cause,
      },
    );
  };
  if (grader === "number" && findNumber(answer) === undefined) fail("it must contain a number");
  if (grader === "choice" && !/^[A-J]$/.test(answer.trim())) fail("it must be one letter from A to J");
  if (grader === "exact" && squeeze(answer) === "") fail("it must not be empty");
  if (grader === "regex") {
    try {
      new RegExp(answer, "u");
    } catch (cause) {
      fail("it must be a JavaScript regular expression", cause);
    }
  }
}

/**
 * Whether the completion gives the answer.
 *
 * @example grade("number", "1000", "She pays $1,000.") // true
 */
export function grade(grader: GraderName, answer: string, completion: string): boolean {
  switch (grader) {
    case "exact":
      return squeeze(completion) === squeeze(answer);
    case "number": {
      const given = findNumber(completion);
      const expected = findNumber(answer);
      return given !== undefined && expected !== undefined && sameNumber(given, expected);
    }
    case "choice":
      return extractChoice(completion) === answer.trim();
    case "regex":
      return new RegExp(answer, "u").test(completion);
  }
}
