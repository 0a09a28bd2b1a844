// The micro model's way to name the skill a prompt needs; models/micro/dispatch.json tells the dispatcher the same in plain data.
import type { Skill } from "./item.js";

export const skills: readonly Skill[] = ["math", "code", "reasoning"];

/** What the micro model is asked to classify a prompt. */
export function classificationPrompt(prompt: string): string {
  return `Which skill? ${prompt}`;
}
