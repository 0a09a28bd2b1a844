import t, { type Test } from "tap";
import { mcnemar, proportion, wilson } from "../../lib/evaluate/statistics.js";

const near = (t: Test, actual: number, expected: number, tolerance = 5e-5) =>
  t.ok(Math.abs(actual - expected) <= tolerance, `${actual} ≈ ${expected}`);

t.test("Wilson intervals of the literature", async (t) => {
  // Newcombe 1998, table I (method 3, score without continuity correction).
  for (const [right, total, low, high] of [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ] as const) {
    const [lower, upper] = wilson(right, total);
    near(t, lower, low);
    near(t, upper, high);
  }
  t.equal(wilson(0, 20)[0], 0);
  t.equal(wilson(20, 20)[1], 1);
  t.same(wilson(0, 0), [0, 1], "no data, no knowledge");
  t.match(proportion(3, 4), { right: 3, total: 4, accuracy: 0.75 });
  t.throws(() => wilson(5, 4), { code: "ERR_T2_INVALID_OPTION" });
  t.throws(() => wilson(1, 2.5), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("McNemar's exact test", async (t) => {
  // Two-sided binomial tails by hand: 2·(1 + 12 + 66)/2^12 and 2·(1/2^6).
  near(t, mcnemar(2, 10), (2 * 79) / 4096, 1e-12);
  near(t, mcnemar(10, 2), (2 * 79) / 4096, 1e-12);
  near(t, mcnemar(0, 6), 2 / 64, 1e-12);
  t.equal(mcnemar(0, 0), 1);
  t.equal(mcnemar(7, 7), 1);
  t.ok(mcnemar(400, 900) > 0 && mcnemar(400, 900) < 1e-30, "large counts do not underflow to nonsense");
  t.throws(() => mcnemar(-1, 2), { code: "ERR_T2_INVALID_OPTION" });
});
