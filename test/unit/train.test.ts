import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Transformer2Error } from "../../lib/errors.js";
import { Expert } from "../../lib/svf/expert.js";
import type { Vectors } from "../../lib/train/optimiser.js";
import { automaticRate, type TrainOptions } from "../../lib/train/options.js";
import { policyExpert, policyFrame, policyGradient, startParameters } from "../../lib/train/policy.js";
import { itemsOfStep } from "../../lib/train/rollout.js";
import { train } from "../../lib/train/train.js";
import { banditTask } from "../support/bandit-task.js";
import { TableEngine } from "../support/table-engine.js";

const small: TrainOptions = { steps: 3, prompts: 4, samples: 4, validateEvery: 0, kl: 0, learningRate: 0.05, seed: 1 };

function folder(t: { teardown(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), "t2-train-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const start = (options: TrainOptions = {}, task = banditTask()) => {
  const engine = new TableEngine();
  return { engine, task, done: train(engine.asEngine(), task, { ...small, ...options }) };
};

/** Rewards of a generated text, as the bandit task gives them. */
const reward = (text: string) => (text.startsWith("c") ? 1 : -1);

t.test("an expert learns its task, and the result says how", async (t) => {
  const { engine, task, done } = start({ steps: 30, validateEvery: 5, patience: 0 });
  const result = await done;
  t.ok(result.validation!.best.right > result.validation!.start.right);
  t.equal(result.validation!.best.right, 6);
  t.equal(result.expert.name, "letters");
  t.match(result.expert.card, {
    task: { name: "bandit", version: "1" },
    preset: "recommended",
    seed: 1,
    step: result.bestStep,
    library: /^\d+\.\d+\.\d+/,
  });
  t.equal(result.steps, 30);
  t.equal(result.values, 6);
  t.equal(result.curve.length, 31, "step 0 is the validation before training");
  t.same(Object.keys(result.curve[0]!), ["step", "validation"]);
  const first = result.curve[1]!.sampled!;
  const last = result.curve.at(-1)!.sampled!;
  t.ok(last.right / last.total > first.right / first.total + 0.3, "success at the rollout's temperature is logged and rises");
  t.ok(result.completionTokens > 0);
  const p = engine.probabilities(result.expert);
  t.equal(p.indexOf(Math.max(...p)), 3);
  t.equal(task.splits.train.length, 10);
});

t.test("the gradient of RLOO and REINFORCE is the formula over the rollouts", async (t) => {
  for (const estimator of ["rloo", "reinforce"] as const) {
    for (const reduction of ["sequence-mean", "token-mean"] as const) {
      const { engine, done } = start({ estimator, reduction, steps: 1, samples: 3, clip: 1e9 });
      const { curve } = await done;
      const generations = engine.log.generations[0]!.result;
      const p = engine.probabilities("base");
      // By hand, over all completions, those that the trainer skips included: −Σ A Σ_t ∇ log p(y_t) / N, ∇_logits log p(y) = 1_y − p.
      const gradient: Record<string, number[]> = {};
      const tokensInAll = generations.flat().reduce((sum, { tokens }) => sum + tokens.length, 0);
      const divisor = reduction === "token-mean" ? tokensInAll : generations.flat().length;
      const finite = (name: string, i: number) => {
        // The derivative of the logits by z_i, by a difference: the table is linear in z.
        const z = Float32Array.of(1, 1, 1);
        z[i] = 1.5;
        const moved = Expert.from({ [name]: z }, { name: "probe", base: engine.info });
        const q = engine.probabilities(moved);
        return q.map((value, v) => (Math.log(value) - Math.log(p[v]!)) / 0.5); // up to a constant, which 1_y − p does not see
      };
      for (const { name, rank } of engine.info.matrices) {
        gradient[name] = Array.from({ length: rank }, (_, i) => {
          const direction = finite(name, i);
          let sum = 0;
          for (const group of generations) {
            const rewards = group.map(({ text }) => reward(text));
            group.forEach(({ tokens }, k) => {
              const others = rewards.filter((_, j) => j !== k);
              const advantage = estimator === "rloo" ? rewards[k]! - others.reduce((a, b) => a + b, 0) / others.length : rewards[k]!;
              for (const token of tokens)
                p.forEach((value, v) => {
                  sum -= (advantage * ((v === token ? 1 : 0) - value) * direction[v]!) / divisor;
                });
            });
          }
          return sum;
        });
      }
      const norm = Math.sqrt(
        Object.values(gradient)
          .flat()
          .reduce((sum, g) => sum + g * g, 0),
      );
      t.ok(Math.abs(curve[0]!.gradientNorm! - norm) < 1e-5 * norm, `${estimator}, ${reduction}: ${curve[0]!.gradientNorm} = ${norm}`);
      if (estimator === "rloo") t.ok(curve[0]!.skipped! > 0, "the case has a group that is skipped");
    }
  }
});

t.test("the loss sees the very tokens of the rollout, the end of sequence included (D6, D9)", async (t) => {
  const { engine, done } = start({ steps: 1, estimator: "reinforce" });
  await done;
  const generations = engine.log.generations[0]!.result.flat();
  const { sequences } = engine.log.batches[0]!.batch;
  t.equal(sequences.length, generations.length);
  sequences.forEach(({ tokens, promptLength }, i) => {
    t.same([...tokens.slice(0, promptLength)], [...generations[i]!.promptTokens]);
    t.same([...tokens.slice(promptLength)], [...generations[i]!.tokens]);
  });
  t.ok(
    sequences.some(({ tokens }) => tokens.at(-1) === 0),
    "some answers ended by themselves",
  );
});

t.test("KL is exactly 0 at z = 1, and reaches the log", async (t) => {
  for (const klDirection of ["policy-reference", "reference-policy"] as const) {
    const { curve } = await start({ kl: 0.5, klDirection }).done;
    t.equal(curve[0]!.kl, 0);
    t.ok(curve[2]!.kl! > 0);
  }
  const free = await start({ steps: 20 }).done;
  const held = await start({ steps: 20, kl: 5 }).done;
  const distance = (expert: Expert) => [...expert.vectors.values()].reduce((sum, z) => sum + z.reduce((s, v) => s + (v - 1) ** 2, 0), 0);
  t.ok(distance(held.expert) < distance(free.expert), "KL keeps the policy near the base");
});

t.test("seeds: the same run twice is the same, another seed is another", async (t) => {
  const [a, b, c] = await Promise.all([start().done, start().done, start({ seed: 2 }).done]);
  t.same(a.curve, b.curve);
  t.equal(a.expert.hash, b.expert.hash);
  t.not(a.expert.hash, c.expert.hash);
});

t.test("every epoch visits every item once, in an order of its own", async (t) => {
  const items = banditTask({ train: 10 }).splits.train;
  const seen = [1, 2, 3, 4, 5].flatMap((step) => itemsOfStep(items, { seed: 3, prompts: 4 }, step).map(({ id }) => id));
  t.equal(new Set(seen.slice(0, 10)).size, 10);
  t.equal(new Set(seen.slice(10, 20)).size, 10);
  t.notSame(seen.slice(0, 10), seen.slice(10, 20));
});

t.test("the best step on validation is kept, and patience ends a run", async (t) => {
  // With a huge rate the policy overshoots: later steps are no better than an early one.
  const result = await start({ steps: 40, validateEvery: 1, patience: 3, learningRate: 0.3 }).done;
  t.equal(result.stoppedEarly, true);
  t.equal(result.steps, result.bestStep + 3);
  const scores = result.curve.map(({ validation }) => validation!.right);
  t.equal(result.validation!.best.right, Math.max(...scores));
  t.equal(result.bestStep, scores.indexOf(Math.max(...scores)), "the first of equals");
});

t.test("λ is chosen on validation, and nothing ever looks at the test split", async (t) => {
  const task = banditTask();
  const guarded = {
    ...task,
    splits: {
      train: task.splits.train,
      validation: task.splits.validation,
      get test(): never {
        throw new Error("the test split was read");
      },
    },
  };
  const run = join(folder(t), "run");
  const { done } = start({ kl: [100, 0], steps: 12, validateEvery: 2, run }, guarded);
  const result = await done;
  t.equal(result.settings.kl, 0, "a policy held at the base learns nothing");
  t.match(result.sweep, [{ kl: 100 }, { kl: 0 }]);
  t.ok(result.sweep![1]!.best.right > result.sweep![0]!.best.right);
  t.equal((await Expert.load(join(run, "best.safetensors"))).hash, result.expert.hash);
  t.match(JSON.parse(readFileSync(join(run, "sweep.json"), "utf8")), { kept: 0 });
  const again = await start({ kl: [100, 0], steps: 12, validateEvery: 2, run }, guarded);
  t.equal((await again.done).expert.hash, result.expert.hash);
  t.equal(again.engine.log.batches.length, 0, "finished runs are not repeated");
});

t.test("next-token imitates the solution and its end, without rollouts", async (t) => {
  const { engine, done } = start({ objective: "next-token", steps: 10 });
  const { curve, expert } = await done;
  t.equal(engine.log.generations.length, 0);
  const { batch, options } = engine.log.batches[0]!;
  t.equal(options.loss, "next-token");
  t.same([...batch.sequences[0]!.tokens.slice(batch.sequences[0]!.promptLength)], [3, 0]);
  t.ok(curve.at(-1)!.loss! < curve[0]!.loss!);
  t.ok(engine.probabilities(expert)[3]! > 0.25);
});

t.test("presets", async (t) => {
  for (const preset of ["paper", "sakana", "recommended"] as const) {
    const engine = new TableEngine();
    const result = await train(engine.asEngine(), banditTask(), { preset, steps: 2, validateEvery: 0, kl: 0.1 });
    const { settings, expert } = result;
    const rollout = engine.log.generations[0]!.options;
    t.equal(rollout.temperature, preset === "sakana" ? 0 : 1);
    t.equal(rollout.n, preset === "recommended" ? 8 : 1);
    t.equal(settings.prompts, preset === "recommended" ? 8 : 10, "a batch is never larger than the training split");
    t.equal(expert.parametrisation, preset === "recommended" ? "residual" : "sigmoid");
    t.equal(expert.vectors.size, preset === "sakana" ? 1 : 2, "the published code adapts the MLP only");
    t.equal(engine.log.batches[0]!.options.kl!.direction, preset === "sakana" ? "reference-policy" : "policy-reference");
    t.equal(engine.log.batches[0]!.options.reduction, preset === "recommended" ? "token-mean" : "sequence-mean");
    if (preset !== "recommended")
      // Published rescaling: the nuclear norm of each matrix is kept.
      for (const z of expert.vectors.values()) t.ok(Math.abs(engine.sigmaOf().reduce((sum, s, i) => sum + s * z[i]!, 0) - 3.5) < 1e-5);
  }
  t.equal(automaticRate(4352), 0.01);
  t.ok(Math.abs(automaticRate(121_000) - 1.9e-3) < 1e-4);
});

t.test("the gradient goes back through parametrisation and rescaling: equal to differences of the loss", async (t) => {
  const engine = new TableEngine();
  const recipe = { parametrisation: "sigmoid", scale: 1, rescale: true } as const;
  const frame = await policyFrame(engine.asEngine(), engine.info.matrices, recipe);
  const parameters = startParameters(frame, { init: { mean: 0.1, variance: 0.5 }, seed: 4 });
  const sequences = [[3, 0], [1, 2, 0], [4]].map((tokens, i) => ({
    tokens: Int32Array.of(1, ...tokens),
    promptLength: 1,
    advantage: i - 0.7,
  }));
  const at = async (p: Vectors) =>
    engine.gradients({ sequences }, { adapter: policyExpert(engine.asEngine(), frame, p, { name: "probe" }) });
  const gradient = policyGradient(frame, parameters, (await at(parameters)).z);
  for (const [name, vector] of Object.entries(parameters)) {
    for (let i = 0; i < vector.length; i++) {
      const loss = async (by: number) => {
        const moved = vector.slice();
        moved[i]! += by;
        return (await at({ ...parameters, [name]: moved })).loss;
      };
      const difference = ((await loss(0.01)) - (await loss(-0.01))) / 0.02;
      t.ok(Math.abs(gradient[name]![i]! - difference) < 2e-4, `${name}[${i}]: ${gradient[name]![i]} = ${difference}`);
    }
  }
});

t.test("options are checked by name, before anything runs", async (t) => {
  const bad: [TrainOptions & Record<string, unknown>, string][] = [
    [{ learningRate: -1 }, "learningRate"],
    [{ steps: 0 }, "steps"],
    [{ preset: "best" as never }, "preset"],
    [{ kl: [] }, "kl"],
    [{ samples: 1 }, "samples"],
    [{ betas: [0.9, 1] }, "betas"],
    [{ lerningRate: 1 }, "lerningRate"],
    [{ targets: ["no_such"] }, "targets"],
    [{ kl: [0, 1], validateEvery: 0 }, "validateEvery"],
    [{ name: "base" }, "name"],
    [{ init: { mean: 0, variance: -1 } }, "init"],
  ];
  for (const [options, name] of bad) {
    const { engine, done } = start(options);
    const error = (await done.catch((e: unknown) => e)) as Transformer2Error;
    t.equal(error.code, "ERR_T2_INVALID_OPTION", name);
    t.match(error.message, name);
    t.equal(engine.log.generations.length, 0);
  }
  const empty = banditTask({ train: 0 });
  await t.rejects(start({}, empty).done, { code: "ERR_T2_INVALID_TASK" });
});

t.test("a reward that is no number stops the run", async (t) => {
  const task = { ...banditTask(), reward: () => Number.NaN };
  await t.rejects(start({}, task).done, { code: "ERR_T2_INVALID_TASK", message: /NaN/ });
});

t.test("abort within 100 ms leaves a run that goes on to the same end", async (t) => {
  const run = join(folder(t), "run");
  const whole = await start({ steps: 6, validateEvery: 2 }).done;
  const controller = new AbortController();
  const engine = new TableEngine({ delay: 20 });
  let aborted = 0;
  const running = train(engine.asEngine(), banditTask(), {
    ...small,
    steps: 6,
    validateEvery: 2,
    run,
    signal: controller.signal,
    onStep: ({ step }) => {
      if (step !== 3) return;
      setTimeout(() => {
        aborted = performance.now();
        controller.abort();
      }, 30);
    },
  });
  await t.rejects(running, { code: "ERR_T2_ABORTED" });
  t.ok(performance.now() - aborted < 100, `${performance.now() - aborted} ms`);
  const resumed = await start({ steps: 6, validateEvery: 2, run }).done;
  t.equal(resumed.expert.hash, whole.expert.hash);
  t.same(resumed.curve, whole.curve);

  const never = new Promise<number>(() => {});
  const slow = new AbortController();
  setTimeout(() => slow.abort(), 20);
  const begun = performance.now();
  await t.rejects(start({ signal: slow.signal }, { ...banditTask(), reward: () => never }).done, { code: "ERR_T2_ABORTED" });
  t.ok(performance.now() - begun < 120, "a reward that never answers does not hold an abort up");
});

t.test("a run directory is not mistaken for another", async (t) => {
  const run = join(folder(t), "run");
  await start({ run }).done;
  const other = (await start({ run, learningRate: 0.1, steps: 4 }).done.catch((e: unknown) => e)) as Transformer2Error;
  t.equal(other.code, "ERR_T2_INVALID_RUN");
  t.match(other.message, /settings\.learningRate was 0\.05 and is now 0\.1/);
  t.match(other.message, /settings\.steps was 3 and is now 4/);
  await t.rejects(start({ run }, banditTask({ train: 9 })).done, { code: "ERR_T2_INVALID_RUN", message: /task\.items/ });

  const foreign = folder(t);
  writeFileSync(join(foreign, "thesis.txt"), "important");
  await t.rejects(start({ run: foreign }).done, { code: "ERR_T2_INVALID_RUN", message: /thesis\.txt/ });
  t.notOk(existsSync(join(foreign, "config.json")), "nothing is written");

  const checkpoint = join(run, "checkpoint.safetensors");
  const bytes = readFileSync(checkpoint);
  writeFileSync(checkpoint, bytes.subarray(0, bytes.length - 8));
  await t.rejects(start({ run }).done, { code: "ERR_T2_INVALID_RUN" }, "a truncated checkpoint");
  bytes[bytes.length - 2]! ^= 1;
  writeFileSync(checkpoint, bytes);
  await t.rejects(start({ run }).done, { code: "ERR_T2_INVALID_RUN" }, "a flipped bit");
});
