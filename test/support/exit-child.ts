// A process that ends in one of several ways while a model is loaded; see test/exit/exit.test.ts.
import { Transformer2 } from "../../lib/transformer2.js";

const [scenario, folder, factors] = process.argv.slice(2) as [string, string, string];
const long = { maxTokens: 4000, ignoreEos: true };

/** Where the work should not have come to its end. */
const tooFar = () => process.stdout.write("too far");

if (scenario === "exit-during-load") {
  Transformer2.load(folder, { factors, onProgress: () => process.exit(0) }).then(tooFar);
} else {
  const t2 = await Transformer2.load(folder, { factors });
  switch (scenario) {
    case "undisposed":
      await t2.generate({ text: "a" }, { maxTokens: 4, ignoreEos: true });
      break;
    case "disposed":
      await t2.generate({ text: "a" }, { maxTokens: 4, ignoreEos: true });
      await t2[Symbol.asyncDispose]();
      break;
    case "exit-during-generate":
      t2.generate({ text: "a" }, long).then(tooFar);
      setTimeout(() => process.exit(0), 100);
      break;
    case "exit-in-stream":
      for await (const _ of t2.stream({ text: "a" }, long)) process.exit(0);
      break;
    case "exit-during-decompose":
      t2.decompose({ onProgress: ({ phase, done }) => phase === "decompose" && done > 0 && process.exit(0) }).then(tooFar);
      break;
    case "exit-during-gradients":
      await t2.decompose();
      t2.gradients({ sequences: [{ tokens: new Int32Array(4000).fill(5), promptLength: 10, advantage: 1 }] }).then(tooFar);
      setTimeout(() => process.exit(0), 50);
      break;
    case "exit-during-dispose":
      t2.generate({ text: "a" }, long).catch(() => {});
      setTimeout(() => {
        void t2[Symbol.asyncDispose]();
        process.exit(0);
      }, 50);
      break;
    case "unfinished":
      // Nobody waits for it, but it was asked for: the process ends after it.
      t2.generate({ text: "a" }, { maxTokens: 50, ignoreEos: true }).then((answer) => process.stdout.write(`${answer.tokens.length}`));
      break;
    case "uncaught":
      void t2.generate({ text: "a" }, long);
      setTimeout(() => {
        throw new Error("the user's own mistake");
      }, 50);
      break;
    case "interrupt":
      void t2.generate({ text: "a" }, long);
      setTimeout(() => process.stdout.write("running"), 50);
      break;
    default:
      throw new Error(`unknown scenario ${scenario}`);
  }
}
