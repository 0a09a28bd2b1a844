// A worker thread with engines of its own, for test/worker. workerData: { folder, task }. Posts "busy" as soon as the task runs.
import { parentPort, workerData } from "node:worker_threads";
import { addon } from "../../lib/native.js";
import { greedyRow, openModel, openOptions, specOf } from "./open-addon.js";

const { folder, task } = workerData as { folder: string; task: "generate" | "open" | "decompose" | "tokens" | "idle" };
const native = addon();
const port = parentPort!;
const never = () => {};

const model = await openModel(folder);
if (task === "tokens") {
  const tokens: number[] = [];
  await new Promise<void>((resolve) => {
    const row = greedyRow([65, 66, 67], { maxTokens: 60, temperature: 0.8, seed: 5 });
    native.generateStart(
      model,
      [row],
      "auto",
      (events) => {
        for (const event of events) tokens.push(...event.tokens);
      },
      () => resolve(),
    );
  });
  port.postMessage(tokens);
} else if (task === "generate") {
  const rows = Array.from({ length: 4 }, (_, i) => greedyRow([65 + i], { maxTokens: 4000 }));
  let first = true;
  native.generateStart(
    model,
    rows,
    "auto",
    () => {
      if (first) port.postMessage("busy");
      first = false;
    },
    never,
  );
} else if (task === "open") {
  const spec = await specOf(folder);
  for (let i = 0; i < 3; i++) native.modelOpen(spec, openOptions, null, never).catch(never);
  port.postMessage("busy");
} else if (task === "decompose") {
  const names = native.modelMatrices(model).map(({ name }) => name);
  native.decompose(model, names, { dtype: "F32", driver: "auto" }, null, never).catch(never);
  native.modelHash(model, names, null, never).catch(never);
  port.postMessage("busy");
} else {
  port.postMessage("busy"); // an open model alone must not keep the worker alive
}
