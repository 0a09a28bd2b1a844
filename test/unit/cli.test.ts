// The small parts of the command line: progress line, training curve, texts for the terminal, JSON.
import t from "tap";
import { plot, stepLine, TrainingCurve } from "../../lib/cli/curve.js";
import { describeFailure } from "../../lib/cli/failure.js";
import { amount, columns, duration, type Io, printable, toJson } from "../../lib/cli/io.js";
import { ProgressLine } from "../../lib/cli/progress.js";
import { asPrompt } from "../../lib/cli/prompt-text.js";
import { Transformer2Error } from "../../lib/errors.js";
import type { Settings } from "../../lib/train/options.js";

function recorder(terminal: boolean, width = 80) {
  const written: string[] = [];
  const io: Io = {
    out: (s) => written.push(s),
    err: (s) => written.push(s),
    outIsTerminal: terminal,
    errIsTerminal: terminal,
    columns: width,
    signal: new AbortController().signal,
  };
  return { io, written };
}

const ESCAPE = "\u001b";
const controls = new RegExp(`${ESCAPE}\\[(\\d+)A|(${ESCAPE}\\[2K)|([\\s\\S])`, "g");

/** What a terminal shows in the end: cursor up, line start and line clearing understood. */
function screen(text: string): string[] {
  const lines = [""];
  let row = 0;
  let column = 0;
  for (const [, up, clear, sign] of text.matchAll(controls)) {
    if (up !== undefined) row -= Number(up);
    else if (clear !== undefined) lines[row] = "";
    else if (sign === "\n") {
      row++;
      column = 0;
      lines[row] ??= "";
    } else if (sign === "\r") column = 0;
    else {
      lines[row] = (lines[row] ?? "").slice(0, column).padEnd(column) + sign + (lines[row] ?? "").slice(column + 1);
      column++;
    }
  }
  return lines;
}

t.test("progress on a terminal: one line, redrawn at most every 80 ms, never wider than the window", (t) => {
  const { io, written } = recorder(true, 50);
  let now = 0;
  const line = new ProgressLine(io, () => now);
  line.update({ phase: "decompose", done: 0, total: 210 });
  now = 10;
  line.update({ phase: "decompose", done: 1, total: 210 });
  t.equal(written.length, 1, "too soon");
  now = 5000;
  line.update({ phase: "decompose", done: 105, total: 210, detail: "model.layers.1\u001b[31m.up_proj with a long name" });
  const shown = screen(written.join(""));
  t.equal(shown.length, 1);
  t.match(shown[0], /^decompose \[############------------\] 105\/210/);
  t.ok(shown[0]!.length < 50);
  line.update({ phase: "decompose", done: 210, total: 210 });
  t.match(screen(written.join(""))[0], /210\/210 100%/, "the end is always drawn");
  line.clear();
  t.same(screen(written.join("")), [""]);
  const before = written.length;
  line.clear();
  t.equal(written.length, before);
  t.end();
});

t.test("progress into a file: plain lines, few, none twice", (t) => {
  const { io, written } = recorder(false);
  let now = 0;
  const line = new ProgressLine(io, () => now);
  for (let done = 0; done <= 1000; done++) {
    now += 12;
    line.update({ phase: "load", done, total: 1000, detail: "x" });
  }
  line.clear();
  line.update({ phase: "load", done: 1000, total: 1000, detail: "x" });
  t.same(written, ["load 0/1000 x\n", "load 417/1000 x\n", "load 834/1000 x\n", "load 1000/1000 x\n"]);
  t.end();
});

const records = [
  { step: 0, validation: { right: 10, total: 40 } },
  { step: 5, reward: -0.5, sampled: { right: 16, total: 64 }, loss: -0.1, kl: 0, validation: { right: 20, total: 40 } },
  { step: 10, reward: 0.5, sampled: { right: 48, total: 64 }, loss: 0.25, kl: 0.0123, validation: { right: 40, total: 40 } },
];

t.test("training curve", (t) => {
  const rows = plot(records, 10, 40);
  t.ok(rows.every((row) => row.length < 40));
  t.match(rows[0], /^100 % \| +o$/, "the last validation, all right, is at the top right");
  t.match(rows[4], /^ 50 % \| +o$/);
  t.match(rows[6], /^ +\|o +\.$/, "a quarter: the first validation and the first samples");
  t.match(rows[9], /^ +\+-+$/);
  t.equal(stepLine(records[2]!, 10), "step 10/10  reward 0.50  sampled 75 %  loss 0.250  KL 0.012  validation 40/40 (100 %)");
  t.equal(stepLine(records[0]!, 10), "step 0/10  validation 10/40 (25 %)");
  const settings = { steps: 10 } as Settings;
  const terminal = recorder(true);
  const curve = new TrainingCurve(terminal.io);
  for (const record of records) curve.onStep(record, settings);
  const shown = screen(terminal.written.join(""));
  t.same(
    shown.slice(0, 12).map((row) => row.trimEnd()),
    plot(records, 10, 78).map((row) => row.trimEnd()),
    "drawn over itself",
  );
  curve.onStep(records[0]!, settings);
  t.equal(screen(terminal.written.join("")).length, 25, "another curve of a sweep begins below");
  const plain = recorder(false);
  const lines = new TrainingCurve(plain.io);
  for (const record of [...records.slice(0, 2), { step: 7, reward: 0 }, records[2]!]) lines.onStep(record, settings);
  t.same(
    plain.written.map((text) => text.split("  ")[0]),
    ["step 0/10", "step 5/10", "step 10/10"],
  );
  t.end();
});

t.test("texts", (t) => {
  t.equal(printable("a\u001b[2Jb\r\n\tc\u0007\u009b\u{1f600}"), "a\ufffd[2Jb\ufffd\n\tc\ufffd\ufffd\u{1f600}");
  t.equal(duration(1234), "1.23 s");
  t.equal(duration(61_234), "1:01 min");
  t.equal(duration(3_599_600), "60:00 min");
  t.equal(amount(999), "999");
  t.equal(amount(1_728_192), "1.7 M");
  t.equal(
    columns(
      [
        ["a", "1"],
        ["long", "22"],
      ],
      " ",
    ),
    " a      1\n long  22\n",
  );
  t.same(JSON.parse(toJson({ a: new Map([["x", Float32Array.of(1, 2)]]), b: Int32Array.of(3), c: Number.NaN })), {
    a: { x: [1, 2] },
    b: [3],
    c: null,
  });
  t.same(asPrompt("x", {}), "x");
  t.same(asPrompt("x", { raw: true }), { text: "x" });
  t.same(asPrompt("x", { system: "s" }), [
    { role: "system", content: "s" },
    { role: "user", content: "x" },
  ]);
  t.end();
});

t.test("failures", (t) => {
  const error = new Transformer2Error("ERR_T2_IO", 'Cannot write "x\u001b[2J": the disk is full.', { detail: { path: "x" } });
  t.equal(
    describeFailure(error, false),
    't2: ERR_T2_IO: Cannot write "x\ufffd[2J": the disk is full.\nhint: Reading or writing a file failed (permission, full disk, …); cause has the system\'s error.\n',
  );
  t.same(JSON.parse(describeFailure(error, true)), { error: { code: "ERR_T2_IO", message: error.message, detail: { path: "x" } } });
  t.match(describeFailure(new TypeError("bug"), false), /^t2: TypeError: bug\n {4}at /, "a bug of ours keeps its stack");
  t.end();
});
