// GSM8K (Cobbe et al. 2021): grade-school word problems from the published JSON lines, {question, answer}, answer ending in "#### n".
import type { Sample, Task } from "../types.js";
import { hashString } from "../util/random.js";
import { readTaskFile } from "./jsonl-task.js";
import { defineTask, invalidTask } from "./task.js";

export interface Gsm8kOptions {
  /** The published training file. Validation is taken out of it: the data has none. */
  train: string;
  /** The published test file. */
  test: string;
  /** Items held out of the training file, chosen by the hash of their question. Default 500. */
  validation?: number;
  /** Put behind every question. Default: a request to reason and to end with "#### " and the number. */
  instruction?: string;
  /** Default 256. */
  maxTokens?: number;
}

const INSTRUCTION = "\nReason step by step, and end with #### and the number.";

/** One published row as a sample; the calculator marks <<48/2=24>> are taken out of the solution. */
function toSample(row: unknown, path: string, line: number, instruction: string): Sample {
  const { question, answer } = (row ?? {}) as { question?: unknown; answer?: unknown };
  const gold = typeof answer === "string" ? answer.match(/####\s*(-?[\d,]+)\s*$/)?.[1] : undefined;
  if (typeof question !== "string" || typeof answer !== "string" || gold === undefined)
    throw invalidTask("gsm8k", `${path}:${line}: expected {"question", "answer"} with an answer that ends in "#### number".`, {
      path,
      line,
    });
  return {
    id: `${hashString(question).toString(16).padStart(8, "0")}-${line}`,
    prompt: question + instruction,
    answer: gold.replaceAll(",", ""),
    solution: answer.replace(/<<[^>]*>>/g, ""),
  };
}

/** Rows of a JSON-lines file with their line numbers. */
export async function readRows(task: string, path: string): Promise<{ row: unknown; line: number }[]> {
  const rows: { row: unknown; line: number }[] = [];
  (await readTaskFile(path)).split("\n").forEach((text, index) => {
    if (text.trim() === "") return;
    try {
      rows.push({ row: JSON.parse(text), line: index + 1 });
    } catch (cause) {
      throw invalidTask(task, `${path}:${index + 1}: not JSON (${(cause as Error).message}).`, { path, line: index + 1 }, cause);
    }
  });
  return rows;
}

/**
 * Loads GSM8K. Graded by number, with commas and signs kept (the published code loses both).
 *
 * @throws `ERR_T2_INVALID_TASK` with `detail.line` for a malformed row
 */
export async function loadGsm8k(options: Gsm8kOptions): Promise<Task> {
  const instruction = options.instruction ?? INSTRUCTION;
  const load = async (prefix: string, path: string) =>
    (await readRows("gsm8k", path)).map(({ row, line }) => {
      const sample = toSample(row, path, line, instruction);
      return { ...sample, id: `${prefix}-${sample.id}` };
    });
  const [published, test] = await Promise.all([load("train", options.train), load("test", options.test)]);
  const byHash = [...published].sort((a, b) => (a.id < b.id ? -1 : 1));
  const held = new Set(byHash.slice(0, options.validation ?? 500).map((sample) => sample.id));
  return defineTask({
    name: "gsm8k",
    splits: { train: published.filter((s) => !held.has(s.id)), validation: published.filter((s) => held.has(s.id)), test },
    reward: "number",
    label: "math",
    description: "grade-school word problems that take several steps of arithmetic",
    maxTokens: options.maxTokens ?? 256,
  });
}
