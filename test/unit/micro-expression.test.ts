// The interpreter of the restricted language: Python's meaning for what is allowed, undefined for everything else.
import t from "tap";
import { parseExpression, parseFunction, pythonModulo, sameFunction } from "../../lib/tasks/micro/expression.js";
import { Random } from "../../lib/util/random.js";

const value = (source: string, x = 0) => parseExpression(source)?.(x);

t.test("precedence and association", async (t) => {
  t.equal(value("2 + 3 * 4"), 14);
  t.equal(value("(2 + 3) * 4"), 20);
  t.equal(value("10 - 3 - 2"), 5);
  t.equal(value("17 % 7 * 2"), 6);
  t.equal(value("2 * 17 % 7"), 6);
  t.equal(value("((x + 3) * 2) % 5", 6), 3);
  t.equal(value("x-3*x", 5), -10);
  t.equal(value("-x + 1", 4), -3);
  t.equal(value("2 - -3"), 5);
  t.equal(value("-7 % 3"), 2, "the sign binds tighter than %");
  t.equal(value("--x", 3), 3);
});

t.test("the remainder has the divisor's sign, as in Python", async (t) => {
  // Recorded from Python: [a % b].
  const recorded: [number, number, number][] = [
    [7, 3, 1],
    [-7, 3, 2],
    [7, -3, -2],
    [-7, -3, -1],
    [-6, 3, 0],
    [0, -5, 0],
  ];
  for (const [a, b, expected] of recorded) t.equal(pythonModulo(a, b), expected, `${a} % ${b}`);
  t.ok(Object.is(pythonModulo(-6, 3), 0), "no negative zero");
  t.equal(pythonModulo(3, 0), undefined);
  t.equal(value("x % (x - x)", 3), undefined, "Python raises");
});

t.test("anything else is refused", async (t) => {
  for (const source of [
    "",
    " ",
    "()",
    "x +",
    "+ ",
    "* 3",
    "x 3",
    "2x",
    "x2",
    "x ** 2",
    "x // 2",
    "x / 2",
    "1.5",
    "007",
    "1_000",
    "0x10",
    "1e3",
    "y",
    "f(x)",
    "x(3)",
    "(x",
    "x)",
    "x; x",
    "x, x",
    "x if x else 1",
    "__import__('os')",
    "process.exit(1)",
    "x == 3",
    "~x",
    "x & 1",
    "constructor",
    "٣",
    "1234567890123456",
  ]) {
    t.equal(parseExpression(source), undefined, JSON.stringify(source));
  }
});

t.test("long, deep and huge input is refused without trouble", async (t) => {
  t.equal(parseExpression("(".repeat(1e6)), undefined);
  t.equal(parseExpression(`${"(".repeat(33)}x${")".repeat(33)}`), undefined);
  t.equal(value(`${"(".repeat(32)}x${")".repeat(32)}`, 3), 3);
  t.equal(parseExpression(`x${" + 1".repeat(1e5)}`), undefined);
  t.equal(value("99999999999999 * 99999999999999"), undefined, "outside the exact range");
  t.equal(parseFunction(`def f(x): return ${"-".repeat(1e6)}x`), undefined);
  t.equal(sameFunction("def ".repeat(1e5), "def f(x): return x"), false);
});

t.test("random expressions have JavaScript's value where the two languages agree", async (t) => {
  const random = new Random(2, "expressions");
  const draw = (depth: number): string => {
    if (depth === 0 || random.int(4) === 0) return random.int(3) === 0 ? "x" : String(random.int(10));
    const text = `${draw(depth - 1)} ${random.choice(["+", "-", "*"])} ${draw(depth - 1)}`;
    return random.int(2) === 0 ? `(${text})` : text;
  };
  for (let i = 0; i < 300; i++) {
    const source = draw(3);
    const expected = new Function("x", `return ${source}`)(4) as number;
    if (value(source, 4) !== expected + 0) t.fail(`${source}: ${value(source, 4)} instead of ${expected}`);
  }
});

t.test("functions", async (t) => {
  t.ok(sameFunction(" Plan: + 3; * 2. def f(x): return (x + 3) * 2", "def f(x): return (x + 3) * 2"));
  t.ok(sameFunction("def f(x): return 2 * x + 6", "def f(x): return (x + 3) * 2"), "judged by its values");
  t.notOk(sameFunction("def g(x): return (x + 3) * 2", "def f(x): return (x + 3) * 2"), "the name counts");
  t.notOk(sameFunction("def f(x): return x + 3 * 2", "def f(x): return (x + 3) * 2"));
  t.notOk(sameFunction("def f(x): return (x + 3) * 2 and more", "def f(x): return (x + 3) * 2"));
  t.notOk(sameFunction("def f(x): return x % 0", "def f(x): return x % 0"));
  t.notOk(sameFunction("def f(y): return (x + 3) * 2", "def f(x): return (x + 3) * 2"));
  t.notOk(sameFunction("", "def f(x): return x"));
  t.notOk(sameFunction("def f(x): return x\ndef f(x): return 3", "def f(x): return x"), "the last definition counts");
  t.notOk(sameFunction("def f(x): return 3\n", "def f(x): return x"));
});
