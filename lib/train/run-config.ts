// What identifies a run: settings, task and base weights. Two runs of one config give the same bytes, so a run is continued only under it.
import { createHash } from "node:crypto";
import type { Engine } from "../engine.js";
import type { Task } from "../types.js";
import type { OpenSettings, Settings } from "./options.js";
import type { PolicyFrame } from "./policy.js";
import type { RunConfig } from "./run-directory.js";

/** SHA-256 over the items that training sees. The test split is not among them, and is not read. */
function itemsDigest(task: Task): string {
  const hash = createHash("sha256");
  for (const split of ["train", "validation"] as const)
    for (const sample of task.splits[split]) hash.update(`${split} ${JSON.stringify(sample)}\n`);
  return hash.digest("hex");
}

export function runConfig(engine: Engine, task: Task, frame: PolicyFrame, settings: Settings | OpenSettings): RunConfig {
  return {
    model: { name: engine.info.name, fingerprint: frame.fingerprint },
    task: { name: task.name, version: task.version, grader: task.grader, items: itemsDigest(task) },
    settings,
  };
}
