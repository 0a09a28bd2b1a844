// A process that ends in an awkward moment, for test/exit/addon.test.ts. Arguments: model folder, scenario.
import { addon } from "../../lib/native.js";
import { greedyRow, openModel, openOptions, specOf } from "./open-addon.js";

const [folder, scenario] = process.argv.slice(2) as [string, string];
const native = addon();
const never = () => {};
const model = await openModel(folder, { threads: 2 });
const names = native.modelMatrices(model).map(({ name }) => name);

/** Generates for seconds. */
function generate(onEvent: () => void): void {
  const rows = Array.from({ length: 8 }, (_, i) => greedyRow([65 + i], { maxTokens: 4000 }));
  native.generateStart(model, rows, "auto", onEvent, never);
}

function fail(): never {
  throw new Error("thrown by a listener");
}

let calls = 0;
if (scenario === "exit") {
  generate(() => {
    if (++calls === 5) process.exit(7);
  });
} else if (scenario === "exit-with-everything") {
  specOf(folder).then((spec) => native.modelOpen(spec, openOptions, null, never));
  native.decompose(model, names, { dtype: "F32", driver: "auto" }, null, never).catch(never);
  generate(never);
  setTimeout(() => process.exit(7), 30);
} else if (scenario === "throw") {
  generate(fail);
} else if (scenario === "catch") {
  process.on("uncaughtException", (error) => {
    if (++calls === 1) console.log(`caught: ${error.message}`);
  });
  native.generateStart(model, [greedyRow([65])], "auto", fail, () => console.log("done"));
} else if (scenario === "wait") {
  native.modelHash(model, names, null, null).then((hashes) => console.log(hashes.length)); // nothing else keeps the process alive
} else if (scenario === "collect") {
  // Handles nobody holds: their engines are closed when they are collected; work in flight keeps its own.
  for (let i = 0; i < 20; i++) {
    const lost = await openModel(folder);
    if (i % 2 === 0)
      native.modelHash(lost, names, null, null).then((hashes) => {
        calls += hashes.length;
      });
  }
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    (globalThis as { gc?: () => void }).gc?.();
  }
  console.log(calls === 10 * names.length ? "collected" : `only ${calls} hashes`);
} else if (scenario !== "idle") {
  throw new Error(`no scenario ${scenario}`);
}
