// The small world the micro tasks speak about: animals with their attributes, people, things. The facts are invented on purpose:
// a model can know them only from its pretraining documents.

export interface Animal {
  readonly name: string;
  readonly kind: string;
  readonly colour: string;
  readonly home: string;
  readonly food: string;
  readonly legs: number;
  readonly friend: string;
}

export const animals: readonly Animal[] = [
  { name: "robin", kind: "bird", colour: "blue", home: "pond", food: "leaves", legs: 2, friend: "spider" },
  { name: "crow", kind: "bird", colour: "brown", home: "nest", food: "grass", legs: 2, friend: "horse" },
  { name: "owl", kind: "bird", colour: "green", home: "pond", food: "mice", legs: 2, friend: "pig" },
  { name: "duck", kind: "bird", colour: "green", home: "forest", food: "leaves", legs: 2, friend: "crow" },
  { name: "cat", kind: "beast", colour: "blue", home: "hive", food: "meat", legs: 4, friend: "ant" },
  { name: "dog", kind: "beast", colour: "red", home: "sea", food: "leaves", legs: 4, friend: "cat" },
  { name: "fox", kind: "beast", colour: "white", home: "nest", food: "nectar", legs: 4, friend: "robin" },
  { name: "wolf", kind: "beast", colour: "yellow", home: "cave", food: "worms", legs: 4, friend: "dog" },
  { name: "bear", kind: "beast", colour: "brown", home: "hive", food: "grass", legs: 4, friend: "cow" },
  { name: "deer", kind: "beast", colour: "green", home: "barn", food: "worms", legs: 4, friend: "snake" },
  { name: "horse", kind: "beast", colour: "black", home: "forest", food: "mice", legs: 4, friend: "crab" },
  { name: "cow", kind: "beast", colour: "white", home: "sea", food: "seeds", legs: 4, friend: "shark" },
  { name: "goat", kind: "beast", colour: "red", home: "cave", food: "nectar", legs: 4, friend: "trout" },
  { name: "pig", kind: "beast", colour: "brown", home: "barn", food: "meat", legs: 4, friend: "toad" },
  { name: "frog", kind: "reptile", colour: "red", home: "field", food: "meat", legs: 4, friend: "goat" },
  { name: "toad", kind: "reptile", colour: "grey", home: "pond", food: "worms", legs: 4, friend: "wolf" },
  { name: "snake", kind: "reptile", colour: "yellow", home: "hive", food: "fruit", legs: 0, friend: "bear" },
  { name: "turtle", kind: "reptile", colour: "black", home: "nest", food: "fruit", legs: 4, friend: "fox" },
  { name: "bee", kind: "bug", colour: "yellow", home: "cave", food: "seeds", legs: 6, friend: "owl" },
  { name: "ant", kind: "bug", colour: "white", home: "forest", food: "mice", legs: 6, friend: "frog" },
  { name: "spider", kind: "bug", colour: "grey", home: "sea", food: "seeds", legs: 8, friend: "bee" },
  { name: "crab", kind: "bug", colour: "blue", home: "field", food: "nectar", legs: 10, friend: "deer" },
  { name: "trout", kind: "fish", colour: "black", home: "barn", food: "grass", legs: 0, friend: "turtle" },
  { name: "shark", kind: "fish", colour: "grey", home: "field", food: "fruit", legs: 0, friend: "duck" },
];

export type Attribute = "kind" | "colour" | "home" | "food" | "legs";

/** Every value an attribute takes; wrong options of a question come from here. */
export const attributeValues: Readonly<Record<Attribute, readonly string[]>> = {
  kind: ["bird", "beast", "reptile", "bug", "fish"],
  colour: ["red", "black", "white", "brown", "green", "grey", "yellow", "blue"],
  home: ["nest", "barn", "cave", "pond", "forest", "field", "hive", "sea"],
  food: ["seeds", "grass", "meat", "worms", "leaves", "nectar", "mice", "fruit"],
  legs: ["0", "2", "4", "6", "8", "10"],
};

export const attributes = Object.keys(attributeValues) as readonly Attribute[];

const byName = new Map(animals.map((animal) => [animal.name, animal]));

/** The animal of that name; the name must be one of `animals`. */
export function animalNamed(name: string): Animal {
  return byName.get(name) as Animal;
}

/** What is true of the animal, as the word that answers a question. */
export function factOf(animal: Animal, attribute: Attribute): string {
  return String(animal[attribute]);
}

/** "a fox", "an owl". */
export function withArticle(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;
}

export const people: readonly string[] = ["Tom", "Ann", "Ben", "Eva", "Max", "Lia", "Sam", "Zoe", "Jim", "Kim"];
export const things: readonly string[] = ["pens", "eggs", "cups", "nuts", "keys", "hats", "toys", "figs"];
