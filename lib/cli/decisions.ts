// A first pass for every item of a task, in batches where the strategy can.
import type { Decision, Strategy, StrategyContext } from "../adapt/strategy.js";
import type { Transformer2 } from "../transformer2.js";
import type { Sample, Task } from "../types.js";

const CHUNK = 64;

export async function decisionsFor(
  t2: Transformer2,
  strategy: Strategy,
  task: Task,
  samples: readonly Sample[],
  running: Pick<StrategyContext, "signal" | "onProgress">,
): Promise<Decision[]> {
  const context: StrategyContext = { engine: t2, experts: [...t2.experts], signal: running.signal };
  const decisions: Decision[] = [];
  for (let start = 0; start < samples.length; start += CHUNK) {
    const prompts = samples.slice(start, start + CHUNK).map((sample) => task.prompt(sample));
    if (strategy.chooseAll !== undefined) decisions.push(...(await strategy.chooseAll(prompts, context)));
    else for (const prompt of prompts) decisions.push(await strategy.choose(prompt, context));
    running.onProgress?.({ phase: "first pass", done: decisions.length, total: samples.length });
  }
  return decisions;
}
