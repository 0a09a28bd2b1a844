// The task a classification expert is trained on asks what the dispatcher asks, keeps the splits apart and reads labels strictly.
import t from "tap";
import { classificationTask } from "../../lib/adapt/classification-task.js";
import { decide } from "../../lib/adapt/dispatcher.js";
import { defineTask } from "../../lib/tasks/task.js";
import type { Split } from "../../lib/types.js";
import { expert, fakeEngine } from "../support/adapt-engine.js";

const items = (name: string, split: Split, n: number) =>
  Array.from({ length: n }, (_, i) => ({ id: `${split}${i}`, prompt: `${name} ${split} ${i}`, answer: "1" }));
const task = (label: string | undefined, description = "") =>
  defineTask({
    name: `task-${label}`,
    splits: {
      train: items(label ?? "x", "train", 20),
      validation: items(label ?? "x", "validation", 5),
      test: items(label ?? "x", "test", 8),
    },
    reward: "exact",
    description,
    ...(label === undefined ? {} : { label }),
  });
const tasks = [task("math", "numbers"), task("code", "programs")];

t.test("the same question as the dispatcher's", async (t) => {
  const asked = classificationTask(tasks, { train: 10 });
  t.same(
    Object.values(asked.splits).map((split) => split.length),
    [20, 10, 16],
  );
  for (const [split, samples] of Object.entries(asked.splits)) {
    t.ok(
      samples.every((sample) => (sample.prompt as string).includes(` ${split} `)),
      `${split} items come from ${split}`,
    );
    t.same([...new Set(samples.map((sample) => sample.answer))].sort(), ["code", "math"]);
  }
  const experts = [expert("math", 1.1, { description: "numbers" }), expert("code", 1.2, { description: "programs" })];
  const classifier = expert("classifier", 0.9);
  const engine = fakeEngine({ score: () => 0 }, [...experts, classifier]);
  const sample = asked.splits.train.find((one) => one.id === "task-math/train/train3") ?? asked.splits.train[0]!;
  const original = tasks.flatMap((one) =>
    one.splits.train.map((item) => ({ id: `${one.name}/train/${item.id}`, prompt: item.prompt as string })),
  );
  await decide("classifier", original.find((one) => one.id === sample.id)!.prompt, {
    engine,
    experts: [classifier, ...experts.toReversed()],
  });
  t.equal(engine.calls.at(-1)!.rows[0]!.prompt, `<u>${sample.prompt}<a>Skill:`);
  t.equal(sample.solution, `Skill: ${sample.answer}`);
});

t.test("reward", async (t) => {
  const asked = classificationTask(tasks);
  const sample = asked.splits.test.find((one) => one.answer === "math")!;
  for (const right of ["Skill: math", " math", "skill:  Math.", "math\nbecause"]) t.equal(await asked.reward(sample, right), 1, right);
  for (const wrong of ["Skill: code", "mathematics", "It is math", "", "Skill:"]) t.equal(await asked.reward(sample, wrong), -1, wrong);
});

t.test("the model's own wording, and what is refused", (t) => {
  const dispatch = { prompt: "Which? {prompt}", prefix: " Skill:", labels: { math: " m", code: " c" } };
  const sample = classificationTask(tasks, { dispatch }).splits.test[0]!;
  t.match(sample.prompt, /^Which\? (math|code) test \d$/);
  t.equal(sample.solution, sample.answer === "math" ? " Skill: m" : " Skill: c");
  t.throws(() => classificationTask([tasks[0]!]), { code: "ERR_T2_INVALID_OPTION" });
  for (const bad of [task(undefined), task("math"), task("other")])
    t.throws(() => classificationTask([tasks[0]!, bad]), { code: "ERR_T2_INVALID_TASK" });
  t.end();
});
