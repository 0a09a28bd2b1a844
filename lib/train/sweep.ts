// The choice of λ, the weight of the KL term: one run per value, the best on validation kept.
import { join } from "node:path";
import { writeJsonAtomic } from "../util/atomic-file.js";
import type { Settings } from "./options.js";
import { type RunContext, type TrainResult, trainOnce } from "./run.js";
import { runConfig } from "./run-config.js";
import { type Count, RunDirectory } from "./run-directory.js";

/**
 * Trains once per setting, each in a folder `kl-<λ>` of its own, and returns the run with the most right validation answers (the first of
 * equals), with the score of every λ. The test split is never looked at. Finished runs are not repeated when the sweep is resumed.
 */
export async function sweep(context: RunContext, settings: readonly Settings[], folder: string | undefined): Promise<TrainResult> {
  const { engine, task, frame } = context;
  const all = { ...settings[0]!, kl: settings.map(({ kl }) => kl) };
  const run = folder === undefined ? undefined : await RunDirectory.open(folder, runConfig(engine, task, frame, all));
  const results: TrainResult[] = [];
  for (const each of settings) {
    const place = folder === undefined ? undefined : join(folder, `kl-${each.kl}`);
    results.push(await trainOnce(context, each, place));
  }
  const score = (result: TrainResult) => (result.validation as { best: Count }).best;
  const winner = results.reduce((best, next) => (score(next).right > score(best).right ? next : best));
  const table = results.map((result) => ({ kl: result.settings.kl, best: score(result), bestStep: result.bestStep }));
  if (folder !== undefined && run) {
    await winner.expert.save(run.expertPath("best"));
    await writeJsonAtomic(join(folder, "sweep.json"), { kept: winner.settings.kl, runs: table });
  }
  const seconds = (phase: "rollout" | "gradient" | "validation") => results.reduce((sum, result) => sum + result.seconds[phase], 0);
  return {
    ...winner,
    seconds: { rollout: seconds("rollout"), gradient: seconds("gradient"), validation: seconds("validation") },
    completionTokens: results.reduce((sum, result) => sum + result.completionTokens, 0),
    sweep: table,
  };
}
