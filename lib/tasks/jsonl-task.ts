// A task from a file of JSON lines, {"prompt", "answer"} each, so that an expert can be trained on somebody's own prompts without code.
import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Transformer2Error } from "../errors.js";
import type { Sample, Split, Task } from "../types.js";
import { hashString } from "../util/random.js";
import { checkAnswer, type GraderName } from "./grading.js";
import { defineTask, type Reward, splitNames } from "./task.js";

export interface JsonlTaskOptions {
  /** Default: the file's name without its ending. */
  name?: string;
  version?: string;
  /** How answers are compared. Default "exact". Ignored where `reward` is given. */
  grader?: GraderName;
  /** A reward of your own, instead of a grader; see `loadReward`. */
  reward?: Reward;
  /**
   * How lines without a "split" are divided: a share below 1 or a count for validation and test, the rest is train. Default 0.15 each.
   * Which line goes where follows from the prompts' hashes: neither from their order nor from chance, and equal prompts stay together.
   */
  validation?: number;
  test?: number;
  label?: string;
  description?: string;
  maxTokens?: number;
  stop?: readonly string[];
}

interface Line {
  readonly number: number;
  readonly sample: Sample;
  readonly split: Split | undefined;
  readonly key: string;
}

function badLine(path: string, line: number, message: string, cause?: unknown): Transformer2Error {
  return new Transformer2Error("ERR_T2_INVALID_TASK", `${path}:${line}: ${message}`, { detail: { path, line }, cause });
}

function isMessages(value: unknown): boolean {
  const isMessage = (m: unknown) =>
    typeof m === "object" &&
    m !== null &&
    typeof (m as { role?: unknown }).role === "string" &&
    typeof (m as { content?: unknown }).content === "string";
  return Array.isArray(value) && value.length > 0 && value.every(isMessage);
}

function parseLine(path: string, number: number, text: string, options: JsonlTaskOptions): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badLine(
      path,
      number,
      `not JSON (${(cause as Error).message}); every line must be one object like {"prompt": "2 + 2", "answer": "4"}.`,
      cause,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badLine(path, number, `must be an object like {"prompt": "2 + 2", "answer": "4"}, but is ${text.slice(0, 80)}.`);
  const { id, prompt, answer, split, solution, ...rest } = value as Record<string, unknown>;
  if (!(typeof prompt === "string" ? prompt.trim() !== "" : isMessages(prompt)))
    throw badLine(
      path,
      number,
      `"prompt" must be a text that is not empty, or a list of { role, content } messages, but is ${JSON.stringify(prompt)}.`,
    );
  // A number is taken for its text: {"answer": 7} is what people write.
  if (typeof answer !== "string" && typeof answer !== "number")
    throw badLine(path, number, `"answer" must be a text or a number, but is ${JSON.stringify(answer)}.`);
  if (id !== undefined && typeof id !== "string" && typeof id !== "number")
    throw badLine(path, number, `"id" must be a text or a number, but is ${JSON.stringify(id)}.`);
  if (split !== undefined && !splitNames.includes(split as Split))
    throw badLine(path, number, `"split" must be ${splitNames.join(", ")}, but is ${JSON.stringify(split)}.`);
  if (solution !== undefined && typeof solution !== "string")
    throw badLine(path, number, `"solution" must be a text, but is ${JSON.stringify(solution)}.`);
  if (!options.reward) {
    try {
      checkAnswer(options.grader ?? "exact", String(answer));
    } catch (error) {
      throw badLine(path, number, (error as Error).message, error);
    }
  }
  const sample: Sample = {
    ...rest,
    id: id === undefined ? `line-${number}` : String(id),
    prompt: prompt as Sample["prompt"],
    answer: String(answer),
    ...(solution === undefined ? {} : { solution }),
  };
  return { number, sample, split: split as Split | undefined, key: typeof prompt === "string" ? prompt.trim() : JSON.stringify(prompt) };
}

/** How many of `total` items a share (below 1) or a count asks for; at least one where there are enough items. */
function wanted(name: string, value: number, total: number): number {
  if (!(Number.isFinite(value) && value >= 0) || (value >= 1 && !Number.isInteger(value)))
    throw new Transformer2Error(
      "ERR_T2_INVALID_OPTION",
      `Option "${name}" must be a share from 0 to below 1 or a whole count, but is ${value}.`,
      {
        detail: { option: name, actual: value },
      },
    );
  if (value === 0) return 0;
  return value < 1 ? Math.max(1, Math.round(value * total)) : value;
}

/** Divides lines without a split: prompts in the order of their hashes, test first, then validation; equal prompts are never parted. */
function divide(lines: readonly Line[], options: JsonlTaskOptions): Map<Line, Split> {
  const validation = wanted("validation", options.validation ?? 0.15, lines.length);
  const test = wanted("test", options.test ?? 0.15, lines.length);
  const ordered = [...lines].sort(
    (a, b) => hashString(a.key) - hashString(b.key) || (a.key < b.key ? -1 : a.key > b.key ? 1 : a.number - b.number),
  );
  const result = new Map<Line, Split>();
  let split: Split = "train";
  ordered.forEach((line, index) => {
    if (index === 0 || line.key !== ordered[index - 1]!.key)
      split = index < test ? "test" : index < test + validation ? "validation" : "train";
    result.set(line, split);
  });
  return result;
}

/**
 * Makes a task of the text of a JSON-lines file. Every line is an object with `prompt` (a text or a list of messages) and `answer`, and
 * optionally `id`, `split` ("train", "validation", "test"), `solution` (for the next-token objective) and anything your reward reads.
 * Either all lines have a split or none. Empty lines are skipped.
 *
 * @param path how errors name the file
 * @throws `ERR_T2_INVALID_TASK` with `detail.line`; `ERR_T2_INVALID_OPTION`
 */
export function parseJsonlTask(text: string, path: string, options: JsonlTaskOptions = {}): Task {
  const lines: Line[] = [];
  text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .forEach((line, index) => {
      if (line.trim() !== "") lines.push(parseLine(path, index + 1, line, options));
    });
  const first = lines[0];
  if (!first) throw badLine(path, 1, 'the file has no lines; every line must be one object like {"prompt": "2 + 2", "answer": "4"}.');
  const ids = new Map<string, number>();
  for (const { sample, number } of lines) {
    const before = ids.get(sample.id);
    if (before !== undefined) throw badLine(path, number, `"id" ${JSON.stringify(sample.id)} was already used in line ${before}.`);
    ids.set(sample.id, number);
  }
  const odd = lines.find((line) => (line.split === undefined) !== (first.split === undefined));
  if (odd)
    throw badLine(
      path,
      odd.number,
      `${odd.split ? "has" : "lacks"} a "split", unlike line ${first.number}; give it to every line or to none.`,
    );
  const places = first.split === undefined ? divide(lines, options) : new Map(lines.map((line) => [line, line.split!]));
  // The same prompt in two splits would be trained on and then tested.
  const prompts = new Map<string, Line>();
  for (const line of lines) {
    const before = prompts.get(line.key);
    if (before && places.get(before) !== places.get(line))
      throw badLine(
        path,
        line.number,
        `the same prompt stands in line ${before.number} in another split (${places.get(before)}); an item must not be trained on and tested.`,
      );
    prompts.set(line.key, before ?? line);
  }
  const splits: Record<Split, Sample[]> = { train: [], validation: [], test: [] };
  for (const line of lines) splits[places.get(line)!].push(line.sample);
  return defineTask({
    name: options.name ?? basename(path).replace(/\.[^.]*$/, ""),
    splits,
    reward: options.reward ?? options.grader ?? "exact",
    ...(options.version === undefined ? {} : { version: options.version }),
    ...(options.label === undefined ? {} : { label: options.label }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.maxTokens === undefined ? {} : { maxTokens: options.maxTokens }),
    ...(options.stop === undefined ? {} : { stop: options.stop }),
  });
}

/** Reads a text file; `ERR_T2_INVALID_TASK` says when it is not there. */
export async function readTaskFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new Transformer2Error("ERR_T2_INVALID_TASK", `Task file ${path} cannot be read: ${(cause as Error).message}. Check the path.`, {
      detail: { path },
      cause,
    });
  }
}

/**
 * `parseJsonlTask` of a file.
 *
 * @example await loadJsonlTask("capitals.jsonl", { grader: "exact", maxTokens: 8 })
 */
export async function loadJsonlTask(path: string, options: JsonlTaskOptions = {}): Promise<Task> {
  return parseJsonlTask(await readTaskFile(path), path, options);
}

/**
 * A reward function from a module: its export `reward`, or its default export, called as `reward(sample, completion)`.
 *
 * @param path a JavaScript module, relative to the working directory
 * @throws `ERR_T2_INVALID_TASK` when the module cannot be imported or has no such function
 */
export async function loadReward(path: string): Promise<Reward> {
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new Transformer2Error("ERR_T2_INVALID_TASK", `Reward module ${path} cannot be imported: ${(cause as Error).message}`, {
      detail: { path },
      cause,
    });
  }
  const reward = module.reward ?? module.default;
  if (typeof reward !== "function")
    throw new Transformer2Error(
      "ERR_T2_INVALID_TASK",
      `Reward module ${path} must export a function "reward(sample, completion)" that returns a number.`,
      {
        detail: { path, exports: Object.keys(module) },
      },
    );
  return reward as Reward;
}
