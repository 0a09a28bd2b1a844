// Alphabetical order: which of two words comes first, and which of three as the unseen relative.
import type { Sample, Task } from "../../types.js";
import type { Random } from "../../util/random.js";
import { type Drawn, type WordTaskOptions, wordTask } from "./pool.js";

const words = (
  "apple arrow autumn banana basket beach bird blanket boat bottle bread bridge bucket butter button camera candle carpet castle chair " +
  "cheese circle city cloud coat coffee corner cotton curtain desert dinner doctor dragon drawer eagle engine evening family farmer feather " +
  "field finger flower forest fountain fruit garden glass guitar hammer harbor honey horse hotel house island jacket jungle kettle kitchen " +
  "ladder lamp leader lemon letter library lion machine market meadow mirror money monkey morning mountain museum music needle night novel " +
  "number ocean office onion orange oven painter paper pencil pepper piano picture pillow planet pocket potato prince queen question rabbit " +
  "radio river road robot rocket sailor salad school season shadow sheep silver sister snow soldier spoon spring square station stone street " +
  "student sugar summer table teacher temple theater tiger tomato tower train treasure tunnel turtle umbrella uncle valley vegetable village " +
  "violin voice wagon wallet water weather wedding whale window winter wizard yard yellow zebra"
).split(" ");

const ASK = " Answer with just the word.";

/** Right when the first word of the list is the only one of them in the completion: naming all of them is no answer. */
function reward(sample: Sample, completion: string): number {
  const written = new Set(completion.toLowerCase().match(/[a-z]+/g));
  const named = (sample.words as readonly string[]).filter((word) => written.has(word));
  return named.length === 1 && named[0] === sample.answer ? 1 : -1;
}

function build(chosen: readonly string[], question: string): Drawn {
  const sorted = [...chosen].sort();
  return { key: sorted.join(","), prompt: question + ASK, answer: sorted[0]!, solution: sorted[0]!, more: { words: chosen } };
}

function two(random: Random): Drawn {
  const [a, b] = random.shuffle(words) as [string, string];
  return build([a, b], `Which word comes first in the alphabet, ${a} or ${b}?`);
}

function three(random: Random): Drawn {
  const [a, b, c] = random.shuffle(words) as [string, string, string];
  return build([a, b, c], `Which word comes first in the alphabet: ${a}, ${b} or ${c}?`);
}

const label = "alphabet";
const description = "questions about which of several words comes first in the alphabet";

/** "Which word comes first in the alphabet, river or candle? Answer with just the word." */
export function alphabet(options: WordTaskOptions = {}): Task {
  return wordTask({ name: "alphabet", version: "1", label, description, reward, grader: "only-word", maxTokens: 16, draw: two }, options);
}

/** The unseen relative: three words. */
export function alphabetOfThree(options: WordTaskOptions = {}): Task {
  return wordTask(
    { name: "alphabet-of-three", version: "1", label, description, reward, grader: "only-word", maxTokens: 16, draw: three },
    options,
  );
}
