// The layers of lib/: cli, serve, integrations → transformer2.ts → adapt, train, evaluate → svf, tasks, model → native.ts → the addon.
// No circle, and no arrow running up. Part of `npm run lint`; imports of types count like any other.

// Used by every layer; they import each other and nothing else of lib/.
const shared = "^lib/(types|errors|engine|options)\\.ts$|^lib/util/";
const native = "^lib/native\\.ts$";
const bottom = ["svf", "tasks", "model"];
const middle = ["adapt", "train", "evaluate"];
const top = ["cli", "serve", "integrations"];
const folders = (names) => `^lib/(${names.join("|")})/`;

module.exports = {
  forbidden: [
    {
      name: "no-circle",
      comment: "Modules that need each other are one module, or miss a third one that both need.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "shared-is-lowest",
      comment: "What every layer uses must use none of them (engine.ts names types of the bottom layer).",
      severity: "error",
      from: { path: shared },
      to: { path: "^lib/", pathNot: shared, dependencyTypesNot: ["type-only"] },
    },
    {
      name: "bottom-does-not-look-up",
      comment: "svf, tasks and model know nothing of what is built on them.",
      severity: "error",
      from: { path: folders(bottom) },
      to: { path: [folders([...middle, ...top, "report"]), "^lib/(transformer2|index)\\.ts$", "^lib/runtime/"] },
    },
    {
      name: "middle-does-not-look-up",
      comment: "adapt, train and evaluate work on an Engine, not on the class that implements it.",
      severity: "error",
      from: { path: folders(middle) },
      to: { path: [folders(top), "^lib/(transformer2|index)\\.ts$", "^lib/runtime/"] },
    },
    {
      name: "transformer2-does-not-look-up",
      severity: "error",
      from: { path: "^lib/(transformer2\\.ts|runtime/)" },
      to: { path: [folders(top), "^lib/index\\.ts$"] },
    },
    {
      name: "tasks-know-no-model",
      severity: "error",
      from: { path: folders(["tasks"]) },
      to: { path: [folders(["model", "svf"]), native] },
    },
    {
      name: "model-knows-no-task",
      severity: "error",
      from: { path: folders(["model"]) },
      to: { path: folders(["tasks", "svf"]) },
    },
    {
      name: "adapt-and-train-apart",
      comment: "Both work on Expert values and an Engine; neither calls the other.",
      severity: "error",
      from: { path: "^lib/(adapt|train)/" },
      to: { path: "^lib/(adapt|train)/", pathNot: "^lib/$1/" },
    },
    {
      name: "top-layers-apart",
      severity: "error",
      from: { path: "^lib/(cli|serve|integrations)/" },
      to: { path: "^lib/(cli|serve|integrations)/", pathNot: "^lib/$1/" },
    },
    {
      name: "one-door-to-the-addon",
      comment: "Only lib/native.ts loads the addon or asks node-gyp-build for it.",
      severity: "error",
      from: { path: "^lib/", pathNot: native },
      to: { path: "node-gyp-build|^build/|^prebuilds/" },
    },
    {
      name: "addon-from-the-core-only",
      comment: "The raw addon is used by the runtime and what sits right above it; strategies, training and commands go through an Engine.",
      severity: "error",
      from: { path: folders([...middle, "tasks", "serve", "integrations"]) },
      to: { path: native },
    },
    {
      name: "not-from-tests",
      severity: "error",
      from: { path: "^lib/" },
      to: { path: "^(test|bench|examples|scripts)/" },
    },
    {
      name: "no-development-dependency",
      comment: "What lib/ imports must be installed with the package.",
      severity: "error",
      from: { path: "^lib/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
    { name: "resolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["types", "import", "node", "default"] },
  },
};
