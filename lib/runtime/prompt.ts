// A prompt of any form as tokens: chat template applied, BOS at most once, prefill behind it. Length is checked by those who know how
// many tokens are to follow.
import { invalidOption, Transformer2Error } from "../errors.js";
import type { Tokenizer } from "../model/tokenizer.js";
import type { Message, Prompt } from "../types.js";

const forms = "a text, a list of messages { role, content }, { text } or { tokens }";

/**
 * Throws `ERR_T2_INVALID_PROMPT` for an empty prompt, one of no known form or with ids that the vocabulary does not have,
 * and `ERR_T2_NO_CHAT_TEMPLATE` when the prompt needs a template and the model has none.
 */
export function encodePrompt(tokenizer: Tokenizer, vocabularySize: number, prompt: Prompt, prefill = ""): Int32Array {
  if (typeof prefill !== "string") throw invalidOption("prefill", "a text", prefill);
  const tokens = encode(tokenizer, vocabularySize, prompt, prefill);
  if (tokens.length === 0) throw invalid("The prompt is empty");
  return tokens;
}

function encode(tokenizer: Tokenizer, vocabularySize: number, prompt: Prompt, prefill: string): Int32Array {
  if (typeof prompt === "string") {
    if (prompt === "") throw invalid("The prompt is empty");
    return encodeChat(tokenizer, [{ role: "user", content: prompt }], prefill);
  }
  if (Array.isArray(prompt)) {
    prompt.forEach(checkMessage);
    if (prompt.length === 0) throw invalid("The conversation has no messages");
    return encodeChat(tokenizer, prompt, prefill);
  }
  if (typeof prompt === "object" && prompt !== null && "text" in prompt) {
    if (typeof prompt.text !== "string" || prompt.text === "") throw invalid("The prompt's text is empty or no text", prompt.text);
    return tokenizer.encode(prompt.text + prefill, { addSpecialTokens: true });
  }
  if (typeof prompt === "object" && prompt !== null && "tokens" in prompt) {
    const { tokens } = prompt;
    if (!(tokens instanceof Int32Array)) throw invalid("The prompt's tokens are not an Int32Array", typeof tokens);
    const bad = tokens.find((id) => id < 0 || id >= vocabularySize);
    if (bad !== undefined) throw invalid(`The prompt has the token ${bad}, but ids go from 0 to ${vocabularySize - 1}`, bad);
    return prefill === "" ? tokens : Int32Array.from([...tokens, ...tokenizer.encode(prefill, { continuation: true })]);
  }
  throw invalid(`The prompt is ${prompt === null ? "null" : `of type ${typeof prompt}`}`);
}

function encodeChat(tokenizer: Tokenizer, messages: readonly Message[], prefill: string): Int32Array {
  return tokenizer.encode(tokenizer.applyChatTemplate(messages) + prefill);
}

function checkMessage(message: unknown, index: number): void {
  const { role, content } = (typeof message === "object" && message !== null ? message : {}) as { role?: unknown; content?: unknown };
  if (typeof role !== "string" || role === "") throw invalid(`Message ${index} of the conversation has no role`, role);
  if (typeof content !== "string") throw invalid(`The content of message ${index} is not a text`, typeof content);
}

function invalid(what: string, actual?: unknown): Transformer2Error {
  return new Transformer2Error("ERR_T2_INVALID_PROMPT", `${what}; expected ${forms}, not empty.`, { detail: { expected: forms, actual } });
}

/** Whether a call got several prompts: an array whose items have a `role` is one conversation. */
export function isPromptList(prompts: Prompt | readonly Prompt[]): prompts is readonly Prompt[] {
  if (!Array.isArray(prompts) || prompts.length === 0) return false;
  const first: unknown = prompts[0];
  return !(typeof first === "object" && first !== null && "role" in first);
}

/**
 * How many tokens may be written after a prompt. `asked` undefined: `byDefault`, or what the context leaves if that is less.
 * Throws `ERR_T2_PROMPT_TOO_LONG` when the prompt, or the prompt and the tokens asked for, do not fit.
 */
export function roomFor(promptTokens: number, asked: number | undefined, byDefault: number, contextLength: number): number {
  const room = contextLength - promptTokens;
  const wanted = asked ?? Math.min(byDefault, Math.max(room, 1));
  if (wanted <= room) return wanted;
  const what =
    asked === undefined ? `The prompt has ${promptTokens} tokens` : `The prompt has ${promptTokens} tokens and ${asked} are to follow`;
  throw new Transformer2Error(
    "ERR_T2_PROMPT_TOO_LONG",
    `${what}, but the context has ${contextLength}. Shorten the prompt, ask for fewer tokens, or load with a larger contextLength.`,
    { detail: { promptTokens, maxTokens: wanted, contextLength } },
  );
}
