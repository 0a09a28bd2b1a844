import t from "tap";
import { checkAnswer, extractChoice, extractNumber, grade, lastBoxed } from "../../lib/tasks/grading.js";

t.test("the number of a completion", async (t) => {
  const cases: [text: string, number: string | undefined][] = [
    // What the published grader loses: commas, signs, currency, per cent, fractions.
    ["1,000", "1000"],
    ["-7", "-7"],
    ["The total is $1,234.50.", "2469/2"],
    ["It is 10%.", "10"],
    ["3/4", "3/4"],
    ["2,125 pages", "2125"],
    ["1{,}000", "1000"],
    ["\\$18", "18"],
    ["€5", "5"],
    ["-$40", "-40"],
    [".5", "1/2"],
    ["18.00", "18"],
    ["\\frac{1}{2}", "1/2"],
    // A minus between two numbers is no sign.
    ["5-3", "3"],
    ["12 - 5 = 7", "7"],
    ["x=-3", "-3"],
    ["(-3)", "-3"],
    ["−4", "-4"],
    // Marked answers win over what follows them.
    ["\\boxed{42} because 6 times 7 is 42 and 40 + 2", "42"],
    ["He has 3. #### 1,250\nAnd 7 more.", "1250"],
    ["The answer is 5 apples, not 6.", "5"],
    ["The answer is 3 + 4 = 7.", "7"],
    ["The answer is: 2.5.", "5/2"],
    ["Answer is unclear, perhaps 9", "9"],
    ["so 18 is right ...", "18"],
    ["Tom has 3 + 4 = 7 apples", "7"],
    ["1,2345", "2345"],
    ["1/0", undefined],
    ["no number", undefined],
    ["", undefined],
  ];
  for (const [text, number] of cases) t.equal(extractNumber(text), number, JSON.stringify(text));
  const begun = performance.now();
  extractNumber(`${"answer is ".repeat(20_000)}${"#".repeat(50_000)}${"1,".repeat(50_000)}`);
  extractNumber("9".repeat(200_000));
  t.ok(performance.now() - begun < 1000, "endless text costs little");
});

t.test("numbers are compared exactly, decimals to a millionth", async (t) => {
  t.ok(grade("number", "1000", "She pays $1,000."));
  t.ok(grade("number", "0.5", "1/2"));
  t.ok(grade("number", "0.333333", "1/3"), "a decimal that was cut");
  t.notOk(grade("number", "0.3", "1/3"));
  t.notOk(grade("number", "7", "-7"));
  t.notOk(grade("number", "1000000", "1000001"), "whole numbers have no tolerance");
  t.ok(grade("number", "9007199254740993", "9007199254740993"));
  t.notOk(grade("number", "9007199254740993", "9007199254740992"), "beyond doubles");
  t.notOk(grade("number", "5", "none"));
});

t.test("the letter of a completion", async (t) => {
  const cases: [text: string, letter: string | undefined][] = [
    ["B", "B"],
    ["B. iron", "B"],
    ["(C) water", "C"],
    ["**D**", "D"],
    ["The answer is (C).", "C"],
    ["the answer is B", "B"],
    ["Answer: D", "D"],
    ["\\boxed{A}", "A"],
    ["A", "A"],
    ["A. a leg", "A"],
    ["A dog is an animal, so C.", "C"],
    ["I think it is B", "B"],
    ["A bacterial population", undefined],
    ["I do not know", undefined],
    ["The answer is a bird. D", "D"],
    ["Is it A) no B) yes", "B"],
    ["", undefined],
  ];
  for (const [text, letter] of cases) t.equal(extractChoice(text), letter, JSON.stringify(text));
});

t.test("exact and regex", async (t) => {
  t.ok(grade("exact", "New York", "  New \n York "));
  t.notOk(grade("exact", "New York", "new york"));
  t.ok(grade("exact", "é", "e\u0301"), "the same letter written differently");
  t.ok(grade("regex", "^\\s*(yes|no)\\b", " yes, of course"));
  t.notOk(grade("regex", "^yes$", "yes and no"));
});

t.test("an answer that a grader could never find right is refused", async (t) => {
  for (const [grader, answer] of [
    ["number", "seven"],
    ["choice", "7"],
    ["choice", "AB"],
    ["exact", "  "],
    ["regex", "("],
  ] as const)
    t.throws(() => checkAnswer(grader, answer), { code: "ERR_T2_INVALID_TASK", detail: { grader, answer } });
  checkAnswer("number", "$1,000");
});

t.test("boxes", async (t) => {
  t.equal(lastBoxed("\\boxed{1} \\boxed{\\frac{1}{2}}"), "\\frac{1}{2}");
  t.equal(lastBoxed("\\boxed{2"), undefined);
  t.equal(lastBoxed("2"), undefined);
});
