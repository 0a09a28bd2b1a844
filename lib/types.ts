// The plain data types that every layer shares. No code lives here, so any layer may import it.

/** One turn of a conversation, as chat templates see it. */
export interface Message {
  role: "system" | "user" | "assistant" | (string & {});
  content: string;
}

/**
 * What a model is asked. A string is one user message put through the chat template; an array of messages is one conversation;
 * `{ text }` is tokenised as it stands, without a template; `{ tokens }` is used as it is.
 */
export type Prompt = string | Message[] | { text: string } | { tokens: Int32Array };

/** One item of a task. Plain data: it can be written to JSON and read back. `id` is unique within the task. */
export interface Sample {
  readonly id: string;
  readonly prompt: string | Message[];
  /** The reference answer, as the task's grader understands it. */
  readonly answer: string;
  /** A worked solution for the next-token objective, when the task has one: exactly what the model should write. */
  readonly solution?: string;
  readonly [key: string]: unknown;
}

export type Split = "train" | "validation" | "test";

/**
 * A task: prompts with a way to tell right from wrong. Knows no model.
 * `reward` is +1 for a right completion and −1 for a wrong one, or any finite number; an item counts as right when its reward is > 0.
 */
export interface Task {
  readonly name: string;
  /** Raised whenever prompts, splits or grading change; written into every result. */
  readonly version: string;
  readonly grader: string;
  readonly splits: Readonly<Record<Split, readonly Sample[]>>;
  prompt(sample: Sample): Prompt;
  reward(sample: Sample, completion: string): number | Promise<number>;
  /** How an expert for this task is named to the dispatcher, e.g. "math". */
  readonly label?: string;
  readonly description?: string;
  /** Tokens a completion may take. Default 256. */
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
}

/** What long work reports while it runs. `done` of `total` units of `phase`; `detail` is a short text such as a matrix name. */
export interface Progress {
  phase: string;
  done: number;
  total: number;
  detail?: string;
}

/** What a call cost. Times in milliseconds, counts in tokens. */
export interface Cost {
  promptTokens: number;
  completionTokens: number;
  /** Per phase, e.g. { "first-pass": 12.5, mix: 0.1, generate: 830 }. */
  milliseconds: Record<string, number>;
}
