// Gradients of z for one training batch.
import { totalmem } from "node:os";
import type { GradientOptions, Gradients, TrainBatch } from "../engine.js";
import { selectMatrices } from "../svf/targets.js";
import type { Job } from "./lifetime.js";
import type { LoadedModel } from "./load.js";
import { packBatch, unpackLogprobs } from "./pack-batch.js";

const GIB = 1024 ** 3;

/** Options are checked by the caller. */
export async function gradients(loaded: LoadedModel, batch: TrainBatch, options: GradientOptions, job: Job): Promise<Gradients> {
  const began = performance.now();
  const { addon, model, info, weights } = loaded;
  const packed = packBatch(batch, options, info.contextLength, info.vocabularySize);
  const { onProgress } = options;
  const names = targetNames(loaded, options);
  await weights.ensure(names, job, onProgress);
  const { handle } = await loaded.adapters.use(options.adapter, job);
  job.check();
  const result = await addon.gradients(
    model,
    {
      groups: packed.groups,
      adapter: handle,
      names,
      klWeight: packed.klWeight,
      klDirection: options.kl?.direction ?? "policy-reference",
      mode: options.mode ?? loaded.options.mode ?? "auto",
      activationBytes: activationBytes(loaded.options.maxMemory),
    },
    job.token,
    onProgress ? (done, total, detail) => onProgress({ phase: "gradients", done, total, detail }) : null,
  );
  const { promptTokens, completionTokens } = packed;
  return {
    loss: result.loss,
    kl: result.kl / completionTokens,
    z: result.vectors,
    logprobs: unpackLogprobs(packed, result),
    cost: { promptTokens, completionTokens, milliseconds: { gradients: performance.now() - began } },
  };
}

/** What is asked for; else all matrices that have factors, and where none has, all. */
function targetNames({ info, weights }: LoadedModel, { targets }: GradientOptions): string[] {
  if (targets !== undefined) return selectMatrices(info.matrices, targets).map((matrix) => matrix.name);
  const { decomposed } = weights;
  return decomposed.length > 0 ? decomposed : info.matrices.map((matrix) => matrix.name);
}

/** Half of the cap, where there is one; else an eighth of the machine's memory, between 256 MiB and 2 GiB: larger batches gain nothing. */
function activationBytes(maxMemory: number | undefined): number {
  if (maxMemory !== undefined) return Math.floor(maxMemory / 2);
  return Math.floor(Math.min(2 * GIB, Math.max(GIB / 4, totalmem() / 8)));
}
