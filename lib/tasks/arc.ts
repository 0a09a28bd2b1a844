// ARC (Clark et al. 2018): multiple-choice science questions from JSON lines in the form of allenai/ai2_arc, answered by letter.
import type { Sample, Split, Task } from "../types.js";
import { readRows } from "./gsm8k.js";
import { defineTask, invalidTask } from "./task.js";

export interface ArcOptions {
  train: string;
  validation: string;
  test: string;
  /** Default "arc-easy". */
  name?: string;
  /** Put behind the options. Default "\nAnswer with the letter." */
  instruction?: string;
  /** Default 4: a letter and little more. */
  maxTokens?: number;
}

const LETTERS = "ABCDEFGHIJ";

function toSample(row: unknown, path: string, line: number, instruction: string): Sample {
  const { id, question, choices, answerKey } = (row ?? {}) as Record<string, unknown>;
  const { text, label } = (choices ?? {}) as { text?: unknown; label?: unknown };
  const shaped =
    typeof id === "string" && typeof question === "string" && typeof answerKey === "string" && Array.isArray(text) && Array.isArray(label);
  // The letter is the key's place among the labels: some rows are labelled 1 to 4, and the published code never had those right.
  const place = shaped ? label.indexOf(answerKey) : -1;
  if (!shaped || text.length !== label.length || text.length > LETTERS.length || place < 0)
    throw invalidTask(
      "arc",
      `${path}:${line}: expected {"id", "question", "choices": {"text", "label"}, "answerKey"} with the key among the labels.`,
      {
        path,
        line,
      },
    );
  const options = text.map((option, i) => `${LETTERS[i]}. ${option}`).join("\n");
  return { id, prompt: `${question}\n${options}${instruction}`, answer: LETTERS[place]!, solution: LETTERS[place]! };
}

/**
 * Loads ARC-Easy or ARC-Challenge.
 *
 * @throws `ERR_T2_INVALID_TASK` with `detail.line` for a malformed row
 */
export async function loadArc(options: ArcOptions): Promise<Task> {
  const instruction = options.instruction ?? "\nAnswer with the letter.";
  const load = async (split: Split) =>
    (await readRows("arc", options[split])).map(({ row, line }) => toSample(row, options[split], line, instruction));
  const [train, validation, test] = await Promise.all([load("train"), load("validation"), load("test")]);
  return defineTask({
    name: options.name ?? "arc-easy",
    splits: { train, validation, test },
    reward: "choice",
    label: "science",
    description: "multiple-choice questions about natural science",
    maxTokens: options.maxTokens ?? 4,
  });
}
