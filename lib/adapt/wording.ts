// The words of the first pass: what the model is asked about a prompt, with which labels, and how its answer is read. Pure functions.
import { Transformer2Error } from "../errors.js";
import type { Prompt } from "../types.js";
import { OTHER } from "./candidates.js";
import type { DispatchFile } from "./dispatch-file.js";

/** How a prompt is classified: the question, the beginning of the answer, and the answer's text per label. */
export interface Wording {
  /** With `{prompt}` where the user's prompt goes. */
  readonly prompt: string;
  readonly prefix: string;
  /** Label → continuation behind the prefix. Labels without an expert mean the base. */
  readonly labels: ReadonlyMap<string, string>;
  /** Calibrates the labels; null: no calibration. */
  readonly contentFree: string | null;
  /**
   * Calibrated log-prob of `other` where it is no label of its own: how much likelier than behind the content-free prompt a label must
   * become to be believed. null: no `other`.
   */
  readonly otherGain: number | null;
}

/** By its label: an expert, or anything else with a sentence about itself. */
type Described = { readonly description: string };

const OTHER_DESCRIPTION = "anything else";

/** In the order of their labels, so that the wording does not depend on the order in which experts were loaded. */
function sorted<T>(experts: ReadonlyMap<string, T>): [string, T][] {
  return [...experts].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function list(experts: ReadonlyMap<string, Described>): string {
  const lines = sorted(experts).map(([label, expert]) => (expert.description ? `- ${label}: ${expert.description}` : `- ${label}`));
  return [...lines, `- ${OTHER}: ${OTHER_DESCRIPTION}`].join("\n");
}

/** Every brace of user texts stays as it is: only the one `{prompt}` of the template is replaced, and `$` means nothing. */
export function fill(template: string, prompt: string): string {
  const at = template.indexOf("{prompt}");
  return template.slice(0, at) + prompt + template.slice(at + "{prompt}".length);
}

function escapeBraces(text: string): string {
  return text.replaceAll("{prompt}", "{ prompt }");
}

function fileWording(experts: ReadonlyMap<string, Described>, file: DispatchFile): Wording {
  const labels = new Map(Object.entries(file.labels));
  for (const label of experts.keys()) if (!labels.has(label)) labels.set(label, ` ${label}`);
  const { prompt, prefix, contentFree = "N/A", otherGain = null } = file;
  return { prompt, prefix, labels, contentFree, otherGain };
}

/**
 * For the forced choice: the model folder's own wording, or a general one that compares how well each expert's description goes on from
 * the prompt. Measured on SmolLM2-135M-Instruct with five kinds of prompts, validation items: 40 of 40 right, and 20 of 50 where the
 * skills were listed and their names compared; a list is hard to read for a small model and makes the prompt longer. Of prompts of no
 * kind 5 of 8 fell below the gain of `other`, of the others none.
 */
export function forcedWording(experts: ReadonlyMap<string, Described>, file: DispatchFile | undefined): Wording {
  if (file !== undefined) return fileWording(experts, file);
  const labels = new Map([...experts].map(([label, { description }]) => [label, ` ${description || `${label} questions`}`]));
  const prompt = `Here is a question:\n"{prompt}"\n\nDo not answer it. What is it about?`;
  return { prompt, prefix: "It is one of the", labels, contentFree: "...", otherGain: 3 };
}

/** For a trained classifier: the folder's own wording, or one whose answer is a single label, so that it can be sampled in training. */
export function classifierWording(experts: ReadonlyMap<string, Described>, file: DispatchFile | undefined): Wording {
  if (file !== undefined) return fileWording(experts, file);
  const labels = new Map([...sorted(experts).map(([label]) => label), OTHER].map((label) => [label, ` ${label}`]));
  const prompt = `Which one skill does the request below need most?\n\nSkills:\n${escapeBraces(list(experts))}\n\nRequest:\n{prompt}\n\nAnswer with the name of one skill.`;
  return { prompt, prefix: "Skill:", labels, contentFree: "N/A", otherGain: null };
}

/** For free text, the paper's way: the model is asked to reason as it likes and to give its answer in \boxed{}. */
export function generateWording(experts: ReadonlyMap<string, Described>, file: DispatchFile | undefined): Wording {
  if (file !== undefined) return fileWording(experts, file);
  const names = [...sorted(experts).map(([label]) => label), OTHER];
  const example = names[0]!;
  const prompt = `Classify the question into exactly one of these categories: ${escapeBraces(names.join(", "))}.\n\n${escapeBraces(list(experts))}\n\nConsider what the question needs first of all; if it needs several, choose the dominant one. If none fits, choose ${OTHER}.\nGive the category within \\boxed{}, for example \\boxed{${escapeBraces(example)}}.\n\nQuestion:\n{prompt}`;
  return { prompt, prefix: "", labels: new Map(names.map((label) => [label, label])), contentFree: null, otherGain: null };
}

/**
 * The label that a free answer names: the first `\boxed{…}`, or, where the answer continues a prefix, its first word. Anything that is
 * no label is `other`; nothing is guessed.
 */
export function readLabel(text: string, labels: ReadonlyMap<string, string>, continuesPrefix: boolean): string {
  const normal = (x: string) => x.trim().toLowerCase();
  const boxed = /\\boxed\{\s*(?:\\text\{)?([^{}]*)\}/.exec(text)?.[1];
  for (const [label, continuation] of labels) {
    if (boxed !== undefined && (normal(boxed) === normal(label) || normal(boxed) === normal(continuation))) return label;
  }
  if (boxed !== undefined || !continuesPrefix) return OTHER;
  const answer = normal(text);
  for (const [label, continuation] of labels) {
    const word = normal(continuation);
    if (answer.startsWith(word) && !/^[\p{L}\p{N}_]/u.test(answer.slice(word.length))) return label;
  }
  return OTHER;
}

/**
 * What of a prompt is classified: its text, of a conversation the last user message.
 * Throws `ERR_T2_INVALID_PROMPT` when there is none.
 */
export function promptText(prompt: Prompt, decode: (tokens: Int32Array) => string): string {
  let text: string | undefined;
  if (typeof prompt === "string") text = prompt;
  else if (Array.isArray(prompt)) text = prompt.findLast((message) => message.role === "user")?.content;
  else if (typeof prompt === "object" && prompt !== null) text = "text" in prompt ? prompt.text : decode(prompt.tokens);
  if (typeof text !== "string" || text.trim() === "") {
    throw new Transformer2Error(
      "ERR_T2_INVALID_PROMPT",
      "The prompt has no text that a strategy could classify; give one that is not empty.",
    );
  }
  return text;
}
