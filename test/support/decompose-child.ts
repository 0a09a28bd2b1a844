// Decomposes a model and says so; is killed in between by test/stress/kill.test.ts.
import { Transformer2 } from "../../lib/transformer2.js";

const [folder, factors] = process.argv.slice(2) as [string, string];
const t2 = await Transformer2.load(folder, { factors, maxThreads: 1 });
await t2.decompose({ onProgress: ({ phase, done }) => phase === "decompose" && process.stdout.write(`${done} `) });
await t2[Symbol.asyncDispose]();
