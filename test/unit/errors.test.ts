import t from "tap";
import { errorCodes, invalidOption, Transformer2Error } from "../../lib/errors.js";

t.test("a message says which option, what was expected and what came, whatever came", async (t) => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const cases: [unknown, RegExp][] = [
    [5, /is 5\.$/],
    ["x", /is "x"\.$/],
    [null, /is null\.$/],
    [undefined, /is undefined\.$/],
    [10n, /is 10n\.$/],
    [Symbol("s"), /is Symbol\(s\)\.$/],
    [{ a: 1 }, /is \{ a: 1 \}\.$/],
    [circular, /Circular/],
    [() => 1, /is a function\.$/],
    [new Float32Array(1e6), /more items/],
    ["y".repeat(1e6), /…"\.$/],
  ];
  for (const [value, expected] of cases) {
    const error = invalidOption("n", "a number", value);
    t.match(error.message, expected);
    t.match(error.message, /^Option "n" must be a number, but is /);
    t.ok(error.message.length < 400, "short");
    t.strictSame(error.detail, { option: "n", expected: "a number", actual: value });
  }
});

t.test("an error has name, code, detail and cause", async (t) => {
  const cause = new Error("underneath");
  const error = new Transformer2Error("ERR_T2_IO", "no", { detail: { path: "p" }, cause });
  t.ok(error instanceof Error);
  t.match(error, { name: "Transformer2Error", code: "ERR_T2_IO", message: "no", detail: { path: "p" }, cause });
  t.notOk("cause" in new Transformer2Error("ERR_T2_IO", "no"));
  for (const code of Object.keys(errorCodes)) t.match(code, /^ERR_T2_[A-Z0-9_]+$/);
});
