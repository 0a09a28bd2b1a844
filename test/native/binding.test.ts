// What the binding promises whatever is done to it: typed errors for any argument, handles that cannot be confused, progress, disposal.
import { join } from "node:path";
import t from "tap";
import { addon } from "../../lib/native.js";
import { Random } from "../../lib/util/random.js";
import type { AdapterHandle, CancelToken, GenerateEvent, ModelHandle } from "../../typings/addon.js";
import { attachFactors, greedyRow, openModel, openOptions, specOf } from "../support/open-addon.js";
import { writeTinyModel } from "../support/tiny-model.js";

const native = addon();
const invalid = { code: "ERR_T2_INVALID_OPTION" };
// a context so long that no generation below ends by itself before it is cancelled, however slow the machine
const folder = writeTinyModel(join(t.testdir(), "tiny"), { contextLength: 65536 });

t.test("errors name the argument, what was expected and what came", async (t) => {
  const model = await openModel(folder);
  const start = (row: object) => () =>
    native.generateStart(
      model,
      [greedyRow([1]), greedyRow([1], row)],
      "auto",
      () => {},
      () => {},
    );
  t.throws(start({ maxTokens: 1.5 }), {
    ...invalid,
    message: 'Argument "rows[1].maxTokens" must be an integer from 0 to 2147483647, but is 1.5.',
    detail: JSON.stringify({ option: "rows[1].maxTokens", expected: "an integer from 0 to 2147483647", actual: "1.5" }),
  });
  t.throws(start({ tokens: Int32Array.of(3, 264) }), {
    ...invalid,
    message: /rows\[1\]\.tokens\[1\]" must be a token id from 0 to 263, but is 264/,
  });
  for (const wrong of [
    { tokens: Int32Array.of(-1) },
    { tokens: new Int32Array(0) },
    { tokens: [1] },
    { tokens: new Uint32Array(1) },
    { n: 0 },
    { temperature: Number.NaN },
    { temperature: -1 },
    { topP: 1.1 },
    { seed: 2 ** 53 },
    { seed: -1 },
    { stream: 1 },
    { stopIds: null },
    { adapter: 3 },
  ])
    t.throws(start(wrong), invalid, JSON.stringify(wrong));
  t.throws(
    () =>
      native.generateStart(
        model,
        [],
        "auto",
        () => {},
        () => {},
      ),
    invalid,
    "no rows",
  );
  t.throws(() => native.score(model, [], "fast" as "auto", null), {
    ...invalid,
    message: /one of "auto", "merged", "factored", but is "fast"/,
  });
  t.throws(() => native.modelHash(model, ['\u0000\n"', 3] as string[], null, null), { ...invalid, message: /names\[1\]/ });
  await t.rejects(native.modelHash(model, ["nowhere"], null, null), { code: /^ERR_T2_/ });
  const spec = await specOf(folder);
  for (const wrong of [
    { heads: 3, kvHeads: 2 },
    { headDim: 7 },
    { layers: 0 },
    { slidingWindow: new Int32Array(1) },
    { files: [] },
    { hiddenSize: 1e9 },
  ])
    t.throws(() => native.modelOpen({ ...spec, ...wrong }, openOptions, null, null), invalid, JSON.stringify(wrong));
  await t.rejects(native.modelOpen({ ...spec, files: [join(folder, "none")] }, openOptions, null, null), {
    code: "ERR_T2_MODEL_NOT_FOUND",
  });
  await t.rejects(native.modelOpen({ ...spec, hiddenSize: 18 }, openOptions, null, null), { code: "ERR_T2_INVALID_CHECKPOINT" });
  await native.modelClose(model);
});

t.test("an exception of a getter passes through", async (t) => {
  const own = new RangeError("mine");
  const spec = new Proxy(
    {},
    {
      get: () => {
        throw own;
      },
    },
  );
  t.throws(() => native.modelOpen(spec as never, openOptions, null, null), own);
});

t.test("handles of another kind or another model are refused", async (t) => {
  const [one, two] = [await openModel(folder), await openModel(folder)];
  const cancel = native.cancelCreate();
  await attachFactors(one, folder, ["model.layers.0.mlp.up_proj"]);
  const adapter = native.adapterCreate(one, { "model.layers.0.mlp.up_proj": new Float32Array(16).fill(1) });
  t.throws(() => native.modelMemory(cancel as unknown as ModelHandle), {
    ...invalid,
    message: /a model handle from modelOpen, but is a handle/,
  });
  t.throws(() => native.modelMemory({} as ModelHandle), invalid);
  t.throws(() => native.modelMemory(Object.create(one as object)), invalid);
  t.throws(() => native.cancelFire(one as unknown as CancelToken), invalid);
  t.throws(() => native.adapterMerge(one, one as unknown as AdapterHandle, null), invalid);
  t.throws(() => native.adapterMerge(two, adapter, null), { ...invalid, message: /an adapter of this model/ });
  t.throws(() => native.adapterCreate(one, { "model.layers.0.mlp.up_proj": new Float32Array(15) }), { code: /^ERR_T2_/ }, "a short vector");
  t.throws(() => native.adapterCreate(one, { "model.layers.0.mlp.up_proj": new Float32Array(16).fill(Number.NaN) }), { code: /^ERR_T2_/ });
  await Promise.all([native.modelClose(one), native.modelClose(two)]);
});

t.test("cancel tokens, progress, coalesced events", async (t) => {
  const fired = native.cancelCreate();
  native.cancelFire(fired);
  const spec = await specOf(folder);
  await t.rejects(native.modelOpen(spec, openOptions, fired, null), { code: "ERR_T2_ABORTED" });
  const reports: [number, number, string][] = [];
  const model = await native.modelOpen(spec, openOptions, native.cancelCreate(), (...report) => reports.push(report));
  t.ok(
    reports.length > 0 && reports.every(([done, total, detail]) => done <= total && typeof detail === "string"),
    "load reports progress",
  );
  await t.rejects(
    native.modelHash(
      model,
      native.modelMatrices(model).map(({ name }) => name),
      fired,
      null,
    ),
    { code: "ERR_T2_ABORTED" },
  );

  let calls = 0;
  const events: GenerateEvent[] = [];
  await new Promise<void>((resolve) => {
    const slow = (list: GenerateEvent[]) => {
      calls++;
      events.push(...list);
      for (const end = performance.now() + 3; performance.now() < end; );
    };
    native.generateStart(model, [greedyRow([65], { maxTokens: 100 })], "auto", slow, () => resolve());
  });
  t.equal(
    events.reduce((sum, { tokens }) => sum + tokens.length, 0),
    100,
  );
  t.ok(calls < 100, `a slow listener was called ${calls} times for 100 tokens`);
  t.equal(events.at(-1)?.finish, "length");

  const aborted = await new Promise<GenerateEvent | undefined>((resolve) => {
    let last: GenerateEvent | undefined;
    const rows = [greedyRow([65], { maxTokens: 65000 }), greedyRow([66], { maxTokens: 65000 })];
    const id = native.generateStart(
      model,
      rows,
      "auto",
      (list) => {
        last = list.at(-1);
      },
      () => resolve(last),
    );
    native.generateCancel(model, id, -1, -1);
  });
  t.equal(aborted?.finish, "aborted");
  native.generateCancel(model, 1e6, 0, 0); // an id nobody has
  await native.modelClose(model);
});

t.test("after modelClose: running work rejects, later calls fail, closing again is fine", async (t) => {
  const model = await openModel(folder);
  let error: Error | null = null;
  const generation = new Promise<void>((resolve) => {
    native.generateStart(
      model,
      [greedyRow([65], { maxTokens: 60000 })],
      "auto",
      () => {},
      (failure) => {
        error = failure;
        resolve();
      },
    );
  });
  const queued = native.logits(
    model,
    Array.from({ length: 50 }, () => new Int32Array(100)),
    null,
    "auto",
    null,
  );
  const closed = [native.modelClose(model), native.modelClose(model)];
  await t.rejects(queued, { code: "ERR_T2_DISPOSED" });
  await generation;
  t.match(error, { code: "ERR_T2_DISPOSED" });
  await Promise.all(closed);
  await native.modelClose(model);
  t.throws(() => native.modelMemory(model), { code: "ERR_T2_DISPOSED" });
  t.throws(() => native.modelMatrices(model), { code: "ERR_T2_DISPOSED" });
  t.throws(() => native.adapterCreate(model, {}), { code: "ERR_T2_DISPOSED" });
  t.throws(
    () =>
      native.generateStart(
        model,
        [greedyRow([1])],
        "auto",
        () => {},
        () => {},
      ),
    { code: "ERR_T2_DISPOSED" },
  );
  await t.rejects(native.logits(model, [Int32Array.of(1)], null, "auto", null), { code: "ERR_T2_DISPOSED" });
  native.generateCancel(model, 1, -1, -1);
});

t.test("any arguments at all: an error with a code, or a result", async (t) => {
  const random = new Random(1, "garbage");
  const model = await openModel(folder);
  const cancel = native.cancelCreate();
  const row = greedyRow([1, 2]);
  const garbage: unknown[] = [
    undefined,
    null,
    0,
    -1,
    1.5,
    Number.NaN,
    1e300,
    "",
    "x",
    "auto",
    true,
    {},
    [],
    [[]],
    [null],
    [row],
    [{}],
    row,
    () => {},
    Symbol("s"),
    10n,
    new Float32Array(3),
    new Int32Array(3),
    new Int32Array(new SharedArrayBuffer(8)),
    new ArrayBuffer(8),
    new Date(),
    model,
    cancel,
    await specOf(folder),
    openOptions,
    new Array(2 ** 32 - 1),
    Object.freeze({ tokens: 1 }),
  ];
  const detached = new Int32Array(4);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  garbage.push(detached, [{ ...row, tokens: detached }]);
  const known = new Set([
    "ERR_T2_INVALID_OPTION",
    "ERR_T2_ABORTED",
    "ERR_T2_MODEL_NOT_FOUND",
    "ERR_T2_INVALID_CHECKPOINT",
    "ERR_T2_DISPOSED",
  ]);
  const strange: string[] = [];
  for (const [name, call] of Object.entries(native)) {
    if (typeof call !== "function" || name === "modelClose") continue;
    for (let i = 0; i < 1500; i++) {
      const args = Array.from({ length: random.int(6) }, (_, at) => (at === 0 && random.int(2) === 0 ? model : random.choice(garbage)));
      try {
        const result: unknown = await (call as (...args: unknown[]) => unknown)(...args);
        if (name === "modelOpen") await native.modelClose(result as ModelHandle);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === undefined || !known.has(code)) strange.push(`${name}: ${String(error)}`);
      }
    }
  }
  t.same([...new Set(strange)], []);
  await native.modelClose(model);
});
