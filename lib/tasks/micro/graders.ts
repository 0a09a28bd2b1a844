// Tells right completions of the micro tasks from wrong ones. The answer must stand at the end: text after it makes it wrong.
import { sameFunction } from "./expression.js";

export type Grader = (completion: string, answer: string) => boolean;

/** What a completion ends with, after the last mark; compared as text. */
function lastAfter(mark: RegExp): Grader {
  return (completion, answer) => mark.exec(completion.trimEnd())?.[1] === answer;
}

export const graders = {
  /** `#### 9` */
  number: lastAfter(/(?:^|\s)#### (0|-?[1-9]\d*)$/),
  /** `Answer: red` */
  word: lastAfter(/(?:^|\s)Answer: (\w+)$/),
  /** `def f(x): return (x + 3) * 2`, by its values */
  function: sameFunction,
  /** `Skill: math`, and nothing else */
  skill: lastAfter(/^\s*Skill: (\w+)$/),
} satisfies Record<string, Grader>;
