import t from "tap";
import { advantages } from "../../lib/train/estimators.js";

t.test("reinforce is the reward itself", async (t) => {
  t.same(advantages([1, -1, 1, 0.5], "reinforce"), [1, -1, 1, 0.5]);
  t.same(advantages([-1], "reinforce"), [-1]);
});

t.test("rloo is the reward minus the mean of the others", async (t) => {
  t.same(advantages([1, -1, -1], "rloo"), [2, -1, -1]);
  const rewards = [0.3, -1, 2, 0.7];
  const expected = rewards.map((r, i) => r - rewards.filter((_, j) => j !== i).reduce((a, b) => a + b) / 3);
  advantages(rewards, "rloo").forEach((value, i) => {
    t.ok(Math.abs(value - expected[i]!) < 1e-15);
  });
  t.ok(Math.abs(advantages(rewards, "rloo").reduce((a, b) => a + b)) < 1e-15, "they sum to zero");
});

t.test("equal rewards say exactly nothing, also where a sum would round", async (t) => {
  t.same(advantages([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], "rloo"), [0, 0, 0, 0, 0, 0, 0]);
});
