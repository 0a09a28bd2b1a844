// Conversion of units, and other units as the unseen relative.
import type { Task } from "../../types.js";
import type { Random } from "../../util/random.js";
import { type Drawn, type WordTaskOptions, wordTask } from "./pool.js";

interface Conversion {
  readonly big: string;
  readonly small: string;
  readonly factor: number;
  /** Amounts from 2 to this. */
  readonly most: number;
}

const seen: readonly Conversion[] = [
  { big: "meters", small: "centimeters", factor: 100, most: 150 },
  { big: "kilometers", small: "meters", factor: 1000, most: 150 },
  { big: "centimeters", small: "millimeters", factor: 10, most: 150 },
  { big: "hours", small: "minutes", factor: 60, most: 12 },
];

const unseen: readonly Conversion[] = [
  { big: "kilograms", small: "grams", factor: 1000, most: 150 },
  { big: "liters", small: "milliliters", factor: 1000, most: 150 },
  { big: "dollars", small: "cents", factor: 100, most: 150 },
  { big: "minutes", small: "seconds", factor: 60, most: 12 },
];

const wordings: readonly ((amount: number, big: string, small: string) => string)[] = [
  (amount, big, small) => `How many ${small} are in ${amount} ${big}?`,
  (amount, big, small) => `${amount} ${big} = ? ${small}`,
  (amount, big, small) => `Convert ${amount} ${big} to ${small}.`,
];

const draw =
  (conversions: readonly Conversion[]) =>
  (random: Random): Drawn => {
    const { big, small, factor, most } = random.choice(conversions);
    const amount = 2 + random.int(most - 1);
    const answer = String(amount * factor);
    return { key: `${amount} ${big}`, prompt: random.choice(wordings)(amount, big, small), answer, solution: answer };
  };

/** About 460 amounts, each in three wordings. */
const sizes = { train: 500, validation: 64, test: 300 };

const label = "units";
const description = "conversion of an amount from one unit of measurement into another";

/** "How many centimeters are in 3 meters?" Amounts of test items are in no training item. */
export function units(options: WordTaskOptions = {}): Task {
  const spec = { name: "units", version: "1", label, description, reward: "number", maxTokens: 24 } as const;
  return wordTask({ ...spec, draw: draw(seen) }, { ...sizes, ...options });
}

/** The unseen relative: other units. */
export function otherUnits(options: WordTaskOptions = {}): Task {
  const spec = { name: "units-other", version: "1", label, description, reward: "number", maxTokens: 24 } as const;
  return wordTask({ ...spec, draw: draw(unseen) }, { ...sizes, ...options });
}
