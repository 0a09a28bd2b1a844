// Holds typings/addon.d.ts and the addon together: the same functions, and results with exactly the properties that are promised.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import ts from "typescript";
import { addon } from "../../lib/native.js";
import type { GenerateEvent, GenerateStats } from "../../typings/addon.js";
import { attachFactors, greedyRow, openModel } from "../support/open-addon.js";
import { writeTinyModel } from "../support/tiny-model.js";

const root = new URL("../../", import.meta.url);
const text = readFileSync(new URL("typings/addon.d.ts", root), "utf8");
const source = ts.createSourceFile("addon.d.ts", text, ts.ScriptTarget.ES2023, true);

/** Members of an exported interface: name, and whether it is a function. */
function members(name: string): Map<string, boolean> {
  const found = source.statements.find((s): s is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(s) && s.name.text === name);
  if (found === undefined) throw new Error(`typings/addon.d.ts has no interface ${name}`);
  return new Map(found.members.map((member) => [(member.name as ts.Identifier).text, ts.isMethodSignature(member)]));
}

const native = addon();

/** Asserts that `value` has the properties of the interface, no more and no fewer. */
function hasShape(test: typeof t | import("tap").Test, value: object, name: string): void {
  test.same(Object.keys(value).sort(), [...members(name).keys()].sort(), name);
}

t.test("the addon exports the members of Addon and nothing else", async (t) => {
  const promised = members("Addon");
  t.ok(promised.size > 15, "the interface was read");
  t.same(Object.keys(native).sort(), [...promised.keys()].sort());
  for (const [name, isFunction] of promised) {
    const kind = typeof (native as unknown as Record<string, unknown>)[name];
    t.equal(kind, isFunction ? "function" : "string", name);
  }
  const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };
  t.equal(native.version, version, "the version of package.json");
});

t.test("results have the promised shapes", async (t) => {
  const folder = writeTinyModel(join(t.testdir(), "tiny"));
  hasShape(t, native.systemInfo(), "SystemInfo");
  const model = await openModel(folder);
  const matrices = native.modelMatrices(model);
  t.equal(matrices.length, 14);
  for (const matrix of matrices) hasShape(t, matrix, "MatrixInfo");
  t.same(matrices[0], {
    name: "model.layers.0.self_attn.q_proj",
    layer: 0,
    role: "q",
    rows: 16,
    columns: 16,
    dtype: "F32",
    hasFactors: false,
  });
  hasShape(t, native.modelMemory(model), "ModelMemory");
  t.match(JSON.parse(native.modelDevice(model)), { name: "cpu" });
  const probe = native.deviceProbe(join(folder, "none.so"), 0, null);
  hasShape(t, probe, "DeviceProbe");
  t.match(JSON.parse(probe.attempts), [{ what: "backend library", path: join(folder, "none.so"), ok: false, why: /none\.so/ }]);

  const names = matrices.map(({ name }) => name);
  const hashes = await native.modelHash(model, names, null, null);
  t.ok(hashes.length === 14 && hashes.every((hash) => /^[0-9a-f]{64}$/.test(hash)));

  const decomposed = await attachFactors(model, folder, names);
  t.same(decomposed.map(({ name }) => name).sort(), [...names].sort());
  for (const matrix of decomposed) {
    hasShape(t, matrix, "DecomposedMatrix");
    t.equal(matrix.sha256, hashes[names.indexOf(matrix.name)]);
    t.equal(matrix.u.byteLength, 4 * matrix.rows * matrix.rank);
    t.equal(matrix.vh.byteLength, 4 * matrix.rank * matrix.columns);
  }
  t.ok(native.modelMatrices(model).every(({ hasFactors }) => hasFactors));

  const name = names[0]!;
  const read = await native.matrixRead(model, name, null);
  t.ok(read instanceof Float32Array && read.length === 256);
  const adapter = native.adapterCreate(model, { [name]: new Float32Array(16).fill(1.5) });
  await native.adapterMerge(model, adapter, null);
  const merged = await native.matrixRead(model, name, adapter);
  t.ok(
    merged.every((x, i) => Math.abs(x - 1.5 * read[i]!) < 1e-5),
    "z = 1.5 everywhere: W' = 1.5 W",
  );

  const events: GenerateEvent[] = [];
  const stats = await new Promise<GenerateStats>((resolve, reject) => {
    const rows = [greedyRow([65, 66], { logprobs: true }), greedyRow([67], { n: 2, temperature: 1, stream: false })];
    const id = native.generateStart(
      model,
      rows,
      "auto",
      (list) => events.push(...list),
      (error, done) => (error ? reject(error) : resolve(done!)),
    );
    t.type(id, "number");
  });
  hasShape(t, stats, "GenerateStats");
  for (const event of events) hasShape(t, event, "GenerateEvent");
  const of = (row: number, sample: number) => events.filter((event) => event.row === row && event.sample === sample);
  t.equal(
    of(0, 0).reduce((sum, { tokens }) => sum + tokens.length, 0),
    8,
  );
  t.ok(of(0, 0).every(({ tokens, logprobs }) => logprobs?.length === tokens.length));
  t.ok(of(1, 0).length === 1 && of(1, 1).length === 1, "not streamed: one event per sample");
  t.ok(of(1, 1)[0]?.logprobs === null && of(1, 1)[0]?.finish === "length");

  const tokens = Int32Array.of(65, 66);
  const scores = await native.score(model, [{ tokens, continuations: [Int32Array.of(1), tokens], adapter }], "auto", null);
  t.same(
    scores.map((item) => item.map((row) => row.length)),
    [[1, 2]],
  );
  const logits = await native.logits(model, [tokens, Int32Array.of(1)], null, "auto", null);
  t.same(
    logits.map((rows) => rows.length),
    [2 * 264, 264],
  );
  const groups = [{ tokens, completions: [tokens, Int32Array.of(3)], weights: Float32Array.of(1, -1) }];
  const request = {
    groups,
    adapter,
    names: [name],
    klWeight: 0.1,
    klDirection: "policy-reference",
    mode: "auto",
    activationBytes: 1e8,
  } as const;
  const gradients = await native.gradients(model, { ...request, names: [name] }, null, null);
  hasShape(t, gradients, "GradientResult");
  t.same(
    gradients.logprobs.map((group) => group.map((row) => row.length)),
    [[2, 1]],
  );
  t.same(
    Object.entries(gradients.vectors).map(([key, vector]) => [key, vector.length]),
    [[name, 16]],
  );
  await native.modelClose(model);
});
