// A model's chat template: found in its folder, rendered with Jinja as transformers does it.
import { Template } from "@huggingface/jinja";
import { Transformer2Error } from "../errors.js";
import type { Message } from "../types.js";

/** Texts of special tokens that templates use, e.g. { bos_token: "<s>" }. */
export type SpecialTexts = Readonly<Record<string, string>>;

export interface ChatTemplateOptions {
  /** End with the beginning of an assistant turn. Default true. */
  addGenerationPrompt?: boolean;
  /** More variables for the template, e.g. { enable_thinking: false }. */
  variables?: Readonly<Record<string, unknown>>;
}

export class ChatTemplate {
  readonly source: string;
  readonly #template: Template;
  readonly #specialTexts: SpecialTexts;

  /** Throws `ERR_T2_INVALID_TOKENIZER` when the text is not a Jinja template. */
  constructor(source: string, specialTexts: SpecialTexts) {
    this.source = source;
    this.#specialTexts = specialTexts;
    // A template that asks whether strftime_now exists has a fixed date to fall back on. Taking it makes a prompt the same text every
    // day, which caches, recorded runs and resumed training need. A template that does not ask gets today's date.
    const fixed = source.replace(/\bstrftime_now\s+is\s+defined\b/g, "false").replace(/\bstrftime_now\s+is\s+not\s+defined\b/g, "true");
    try {
      this.#template = new Template(fixed);
    } catch (cause) {
      throw new Transformer2Error("ERR_T2_INVALID_TOKENIZER", `The chat template cannot be parsed: ${textOf(cause)}.`, { cause });
    }
  }

  /**
   * The conversation as the text the model was trained on.
   * Throws `ERR_T2_INVALID_PROMPT` when the template refuses the messages (roles that do not alternate, no system turn allowed, …).
   */
  render(messages: readonly Message[], { addGenerationPrompt = true, variables = {} }: ChatTemplateOptions = {}): string {
    try {
      return this.#template.render({
        ...this.#specialTexts,
        tools: null,
        documents: null,
        ...variables,
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (cause) {
      throw new Transformer2Error(
        "ERR_T2_INVALID_PROMPT",
        `The model's chat template does not accept this conversation: ${textOf(cause)}.`,
        {
          detail: { roles: messages.map((message) => message.role) },
          cause,
        },
      );
    }
  }
}

/**
 * The template's text: `chat_template` of tokenizer_config.json (a text, or a list of named ones of which "default" is taken), unless
 * there is a chat_template.jinja, which is the newer place and wins, as in transformers. Undefined when there is neither.
 */
export function findChatTemplate(config: Readonly<Record<string, unknown>>, file: string | undefined): string | undefined {
  if (file !== undefined) return file;
  const { chat_template: template } = config;
  if (typeof template === "string") return template;
  if (!Array.isArray(template)) return undefined;
  const named = template.filter((item): item is { name: string; template: string } => typeof item?.template === "string");
  return (named.find((item) => item.name === "default") ?? (named.length === 1 ? named[0] : undefined))?.template;
}

function textOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, "");
}
