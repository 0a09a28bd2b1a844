import t from "tap";
import { learningRate } from "../../lib/train/schedule.js";

t.test("warm-up rises linearly to the full rate", async (t) => {
  const schedule = { kind: "constant", rate: 0.01, warmup: 4, steps: 10, final: 0 } as const;
  t.same(
    [1, 2, 3, 4, 5, 10].map((step) => learningRate(schedule, step)),
    [0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01],
  );
});

t.test("cosine: full at the end of the warm-up, half way in the middle, final at the last step", async (t) => {
  const schedule = { kind: "cosine", rate: 1, warmup: 1, steps: 11, final: 0.2 } as const;
  t.equal(learningRate(schedule, 1), 1);
  t.ok(Math.abs(learningRate(schedule, 6) - 0.6) < 1e-12);
  t.ok(Math.abs(learningRate(schedule, 11) - 0.2) < 1e-12);
  t.ok(Math.abs(learningRate({ ...schedule, warmup: 0 }, 1) - 1) < 1e-12, "no warm-up begins at the full rate");
  t.equal(learningRate({ ...schedule, steps: 1 }, 1), 1, "a single step");
});
