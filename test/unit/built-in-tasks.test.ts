// The built-in tasks by name: every name gives the task that calls itself so, with items in all splits.
import t from "tap";
import { builtInTask, builtInTaskNames } from "../../lib/tasks/index.js";
import { wordTaskPairs } from "../../lib/tasks/words/word-tasks.js";

t.test("names and tasks agree, and none is missing", (t) => {
  t.equal(new Set(builtInTaskNames).size, builtInTaskNames.length);
  for (const name of builtInTaskNames) {
    const task = builtInTask(name);
    t.equal(task.name, name);
    for (const split of ["train", "validation", "test"] as const) t.ok(task.splits[split].length > 0, `${name} ${split}`);
  }
  for (const { task, unseen } of wordTaskPairs({ train: 1, validation: 1, test: 1 })) {
    t.ok(builtInTaskNames.includes(task.name), task.name);
    t.ok(builtInTaskNames.includes(unseen.name), unseen.name);
  }
  t.throws(() => builtInTask("toString"), { code: "ERR_T2_INVALID_TASK", message: /math, code/ });
  t.end();
});
