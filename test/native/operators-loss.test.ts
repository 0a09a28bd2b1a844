// The fused loss against fp64: log-probs, the policy-gradient slope, and full-vocabulary KL in both directions.
import t from "tap";
import { asOperand, close, differences, dot, dtypes, Matrix, normals, operator, Random, refuses, same, testDevice } from "./helpers.js";

function logSoftmax(head: Matrix, hidden: ArrayLike<number>): Float64Array {
  const { rows, cols, values } = head;
  const logits = Float64Array.from({ length: rows }, (_, j) => dot(hidden, values.subarray(j * cols, (j + 1) * cols)));
  const maximum = logits.reduce((a, b) => Math.max(a, b));
  const lse = maximum + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - maximum), 0));
  return logits.map((x) => x - lse);
}

function klOf(policy: Float64Array, reference: Float64Array, direction: number): number {
  const [p, q] = direction === 0 ? [policy, reference] : [reference, policy];
  return p.reduce((sum, x, j) => sum + Math.exp(x) * (x - q[j]!), 0);
}

interface Rows {
  n: number;
  hidden: Float32Array;
  reference: Float32Array;
  target: Int32Array;
  weight: Float32Array;
  kl_weight: Float32Array;
}

function rows(random: Random, head: Matrix, n: number): Rows {
  const hidden = normals(random, n * head.cols);
  return {
    n,
    hidden,
    reference: hidden.map((x) => x + 0.3 * random.normal()),
    target: Int32Array.from({ length: n }, () => random.int(head.rows)),
    weight: normals(random, n),
    kl_weight: Float32Array.from({ length: n }, () => random.float()),
  };
}

/** Loss of one row as a function of its hidden state; its analytic slope is checked against differences of this. */
function rowLoss(head: Matrix, r: Rows, i: number, kl_direction: number | undefined) {
  const reference = logSoftmax(head, r.reference.subarray(i * head.cols, (i + 1) * head.cols));
  return (hidden: ArrayLike<number>) => {
    const policy = logSoftmax(head, hidden);
    const kl = kl_direction === undefined ? 0 : r.kl_weight[i]! * klOf(policy, reference, kl_direction);
    return -r.weight[i]! * policy[r.target[i]!]! + kl;
  };
}

t.test("log-probs, KL and slopes", async (t) => {
  const random = new Random(4, "loss");
  for (const dtype of dtypes)
    for (const [vocabulary, size] of [
      [2, 1],
      [3, 5],
      [17, 33],
      [131, 7],
      [65, 64],
      [1009, 8],
    ] as const)
      for (const kl_direction of [undefined, 0, 1]) {
        const head = Matrix.normal(random, vocabulary, size, dtype, 1 / Math.sqrt(size));
        const n = 1 + random.int(9);
        const r = rows(random, head, n);
        const { reference, kl_weight, ...plain } = { ...r };
        const given = kl_direction === undefined ? plain : { ...plain, reference, kl_weight, kl_direction };
        const { logprob, kl, dhidden } = operator("loss", { ...given, ...head.inputs("head", size + 1) });
        const label = `${dtype}, ${n} rows, vocabulary ${vocabulary}, size ${size}, KL ${kl_direction}`;
        const expected = { logprob: new Float64Array(n), kl: new Float64Array(n), dhidden: new Float64Array(n * size) };
        // the loss of what the products with the head see; a GPU rounds dlogits, too, on their way back through the head
        r.hidden = asOperand(r.hidden, n, size, dtype);
        r.reference = asOperand(r.reference, n, size, dtype);
        const slopeTolerance = testDevice === "cpu" ? 1e-5 : { F32: 1e-5, F16: 5e-4, BF16: 1e-2 }[dtype];
        for (let i = 0; i < n; i++) {
          const hidden = r.hidden.subarray(i * size, (i + 1) * size);
          const policy = logSoftmax(head, hidden);
          expected.logprob[i] = policy[r.target[i]!]!;
          if (kl_direction !== undefined)
            expected.kl[i] = klOf(policy, logSoftmax(head, r.reference.subarray(i * size, (i + 1) * size)), kl_direction);
          expected.dhidden.set(differences(rowLoss(head, r, i, kl_direction), hidden), i * size);
        }
        close(t, logprob!, expected.logprob, 2e-6, `${label}: log-probs`);
        close(t, dhidden!, expected.dhidden, slopeTolerance, `${label}: dhidden`);
        if (kl_direction !== undefined) close(t, kl!, expected.kl, 2e-5, `${label}: KL`, 0.1);
        else t.equal(kl, undefined, "no KL");
        const { dhidden: none, logprob: only } = operator("loss", { ...plain, ...head.inputs("head"), log_probs_only: 1 });
        t.equal(none, undefined);
        same(t, only!, logprob!, "log-probs alone: the same bits");
      }
});

t.test("KL is exactly 0, and adds exactly nothing to the slope, where reference = policy", async (t) => {
  const random = new Random(4, "zero");
  for (const dtype of dtypes)
    for (const kl_direction of [0, 1]) {
      const head = Matrix.normal(random, 997, 33, dtype);
      const { reference, kl_weight, ...plain } = rows(random, head, 9);
      const without = operator("loss", { ...plain, ...head.inputs("head") });
      const inputs = { ...plain, reference: plain.hidden, kl_weight, kl_direction, ...head.inputs("head") };
      const withKl = operator("loss", inputs);
      t.ok(
        withKl["kl"]!.every((x) => x === 0),
        `${dtype}, direction ${kl_direction}: KL`,
      );
      same(t, withKl["dhidden"]!, without["dhidden"]!, "the slope is that of the loss alone");
      same(t, withKl["logprob"]!, without["logprob"]!, "log-probs");
    }
});

t.test("a row's result does not depend on the rows beside it, nor on chunks or threads", async (t) => {
  const random = new Random(4, "batch");
  const head = Matrix.normal(random, 401, 24, "BF16");
  const r = rows(random, head, 523); // more than one chunk
  const stored = { ...head.inputs("head"), deterministic: 1 };
  const all = operator("loss", { ...r, kl_direction: 0, ...stored });
  same(t, operator("loss", { ...r, kl_direction: 0, ...stored, threads: 3 })["logprob"]!, all["logprob"]!, "three threads");
  for (const i of [0, 17, 511, 512, 522]) {
    const part = (a: Float32Array) => a.slice(i * 24, (i + 1) * 24);
    const one = { n: 1, hidden: part(r.hidden), reference: part(r.reference), target: r.target.slice(i, i + 1) };
    const weights = { weight: r.weight.slice(i, i + 1), kl_weight: r.kl_weight.slice(i, i + 1) };
    const alone = operator("loss", { ...one, ...weights, kl_direction: 0, ...stored });
    same(t, alone["logprob"]!, all["logprob"]!.slice(i, i + 1), `row ${i}: log-prob`);
    t.equal(alone["kl"]![0], all["kl"]![i], `row ${i}: KL`);
    close(t, alone["dhidden"]!, part(all["dhidden"] as Float32Array), 2e-6, `row ${i}: slope`);
  }
});

t.test("logits in the hundreds do not overflow", async (t) => {
  const head = new Matrix([100, -100, 99.5], 3, 1);
  const { logprob, kl, dhidden } = operator("loss", {
    n: 1,
    hidden: Float32Array.of(9),
    reference: Float32Array.of(8.9),
    target: Int32Array.of(1),
    weight: Float32Array.of(1),
    kl_weight: Float32Array.of(1),
    kl_direction: 1,
    ...head.inputs("head"),
  });
  t.ok([...logprob!, ...kl!, ...dhidden!].every(Number.isFinite));
  t.ok(Math.abs(logprob![0]! + 1800.011) < 0.01);
});

t.test("a target beyond the vocabulary is refused", async (t) => {
  const head = Matrix.normal(new Random(4), 3, 2);
  const inputs = { n: 1, hidden: new Float32Array(2), weight: Float32Array.of(1), ...head.inputs("head") };
  refuses(t, "loss", { ...inputs, target: Int32Array.of(3) }, "3 of 3");
  refuses(t, "loss", { ...inputs, target: Int32Array.of(-1) }, "−1");
});
