// Parametrisations against finite differences in fp64, on a loss with a known gradient; identity and published initialisation.
import t from "tap";
import {
  checkParametrisation,
  initialParameters,
  type Parametrisation,
  presetParameters,
  rescaleFactor,
  toGradient,
  toVector,
} from "../../lib/svf/parametrisation.js";
import { Random } from "../../lib/util/random.js";

const random = new Random(Date.now());
const numbers = (length: number, draw: () => number) => Float64Array.from({ length }, draw);
const sum = (values: ArrayLike<number>, by: (value: number, i: number) => number) =>
  Array.from(values).reduce((s, v, i) => s + by(v, i), 0);

const kinds: Parametrisation[] = [
  { name: "direct" },
  { name: "residual" },
  { name: "sigmoid" },
  { name: "sigmoid", scale: 2.5 },
  { name: "exp" },
  { name: "tanh", scale: 0.7 },
].flatMap((kind) => [kind as Parametrisation, { ...kind, rescale: true } as Parametrisation]);

for (const kind of kinds) {
  t.test(`gradient of ${JSON.stringify(kind)}`, async (t) => {
    const rank = 9;
    const sigma = numbers(rank, () => Math.abs(random.normal()) + 0.1)
      .sort()
      .reverse();
    // p near values that make z positive, so that Σ σ z is well above 0
    const p = numbers(rank, () => (kind.name === "direct" ? 1 : 0) + 0.3 * random.normal());
    const linear = numbers(rank, () => random.normal());
    const square = numbers(rank, () => random.normal());
    // L(z) = Σ a z + b z² / 2, so dL/dz = a + b z
    const loss = (q: Float64Array) =>
      sum(toVector(kind, q, sigma), (z, i) => (linear[i] as number) * z + ((square[i] as number) * z * z) / 2);
    const g = toVector(kind, p, sigma).map((z, i) => (linear[i] as number) + (square[i] as number) * z);
    const gradient = toGradient(kind, p, g, sigma);
    const h = 1e-5;
    for (let i = 0; i < rank; i++) {
      const moved = (by: number) => loss(p.map((value, j) => (j === i ? value + by : value)));
      const numeric = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      const difference = Math.abs(numeric - (gradient[i] as number));
      t.ok(difference <= 1e-7 * (1 + Math.abs(numeric)), `dL/dp${i}: ${gradient[i]}, finite difference ${numeric}`);
    }
  });
}

t.test("rescaling keeps the nuclear norm, and a constant z is the identity", async (t) => {
  const sigma = numbers(20, () => Math.abs(random.normal()));
  const p = numbers(20, () => 0.1 + 0.1 * random.normal());
  const z = toVector({ name: "sigmoid", rescale: true }, p, sigma);
  t.ok(Math.abs(sum(sigma, (s, i) => s * (z[i] as number)) / sum(sigma, (s) => s) - 1) < 1e-12);
  const constant = toVector({ name: "sigmoid", rescale: true }, new Float64Array(20).fill(0.1), sigma);
  t.ok(constant.every((value) => Math.abs(value - 1) < 1e-14));
  t.equal(rescaleFactor([0, 0], [3, 4]), 1, "a matrix of zeros");
  t.throws(() => rescaleFactor([1, 1], [1, -1]), { code: "ERR_T2_INVALID_OPTION" });
  t.throws(() => toVector({ name: "direct", rescale: true }, [1, 2]), { code: "ERR_T2_INVALID_OPTION" });
  t.throws(() => toVector({ name: "direct", rescale: true }, [1, 2], [1]), { code: "ERR_T2_INVALID_OPTION" });
});

t.test("beginnings", async (t) => {
  const exact: Parametrisation[] = [
    { name: "direct" },
    { name: "residual" },
    { name: "exp" },
    { name: "tanh" },
    { name: "sigmoid", scale: 2 },
  ];
  for (const kind of exact) {
    const p = initialParameters(kind, "identity", 5, random);
    t.ok(
      toVector(kind, p).every((z) => z === 1),
      JSON.stringify(kind),
    );
  }
  t.ok(
    toVector({ name: "sigmoid", scale: 3 }, initialParameters({ name: "sigmoid", scale: 3 }, "identity", 5, random)).every(
      (z) => Math.abs(z - 1) < 1e-7,
    ),
  );
  t.throws(() => initialParameters({ name: "sigmoid" }, "identity", 5, random), { code: "ERR_T2_INVALID_OPTION" });
  t.throws(() => initialParameters({ name: "direct" }, { mean: 0, variance: -1 }, 5, random), { code: "ERR_T2_INVALID_OPTION" });

  for (const preset of ["paper", "sakana"] as const) {
    const { parametrisation, initialisation } = presetParameters[preset];
    const count = 40_000;
    const p = initialParameters(parametrisation, initialisation, count, new Random(1, preset));
    const mean = sum(p, (v) => v) / count;
    const variance = sum(p, (v) => (v - mean) ** 2) / count;
    const expected = preset === "paper" ? 1e-3 : 1e-4;
    t.ok(Math.abs(mean - 0.1) < 5 * Math.sqrt(expected / count), `${preset}: mean ${mean}`);
    t.ok(Math.abs(variance / expected - 1) < 0.05, `${preset}: variance ${variance}`);
  }
  t.same(
    initialParameters(presetParameters.recommended.parametrisation, presetParameters.recommended.initialisation, 3, random),
    new Float32Array(3),
  );
});

t.test("extreme parameters stay finite", async (t) => {
  for (const name of ["sigmoid", "tanh"] as const) {
    const p = [-1e4, -800, 0, 800, 1e4];
    t.ok(toVector({ name }, p).every(Number.isFinite), name);
    t.ok(toGradient({ name }, p, [1, 1, 1, 1, 1]).every(Number.isFinite), name);
  }
  for (const wrong of [{ name: "cubic" }, { name: "tanh", scale: 0 }, { name: "tanh", scale: Number.NaN }, { name: "exp", rescale: 1 }]) {
    t.throws(() => checkParametrisation(wrong as Parametrisation), { code: "ERR_T2_INVALID_OPTION" });
  }
});
