// The micro tasks: what the rest of the library may use of this folder.
export { classificationPrompt, skills } from "./classification.js";
export { type MicroDocument, microDocuments } from "./documents.js";
export { drawItem, itemKinds } from "./draw.js";
export { parseExpression, parseFunction, sameFunction } from "./expression.js";
export { type Item, type ItemKind, type Skill, skillOf, splitOf } from "./item.js";
export { type MicroTaskName, microTasks } from "./tasks.js";
