// Draws items of a kind from one split.
import type { Split } from "../../types.js";
import type { Random } from "../../util/random.js";
import { type Item, type ItemKind, skillOf, splitOf } from "./item.js";
import { codeItem, unseenCodeItem } from "./programs.js";
import { reasoningItem, unseenReasoningItem } from "./quizzes.js";
import { mathItem, unseenMathItem } from "./sums.js";

const generators: Readonly<Record<ItemKind, (random: Random) => Item>> = {
  math: mathItem,
  code: codeItem,
  reasoning: reasoningItem,
  "unseen-math": unseenMathItem,
  "unseen-code": unseenCodeItem,
  "unseen-reasoning": unseenReasoningItem,
};

export const itemKinds = Object.keys(skillOf) as readonly ItemKind[];

/** A random item of this kind whose key belongs to the split. */
export function drawItem(random: Random, kind: ItemKind, split: Split): Item {
  const draw = generators[kind];
  let item = draw(random);
  while (splitOf(item.key) !== split) item = draw(random);
  return item;
}
