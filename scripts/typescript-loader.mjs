// Lets Node run this repository's .ts files in place: node --import ./scripts/typescript-loader.mjs file.ts
//
// Types are only stripped here (tsc checks them in `npm run lint`). Every result is kept under .cache/ts by the hash of its source, so a test
// process usually reads plain JavaScript: a third of the time tap's own plugin needs, which compiles all of lib/ anew in each process.

import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import module from "node:module";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const cache = new URL(".cache/ts/", root);
const self = readFileSync(new URL(import.meta.url), "utf8"); // part of every key: a change here empties the cache
const isOurs = (url) => url.startsWith(root.href) && !url.includes("/node_modules/");

/** Node's resolve hook: "./x.js" written in a .ts file means ./x.ts where that exists. */
export async function resolve(specifier, context, next) {
  if (specifier.startsWith(".") && specifier.endsWith(".js") && context.parentURL !== undefined && isOurs(context.parentURL)) {
    const typescript = new URL(`${specifier.slice(0, -3)}.ts`, context.parentURL);
    if (existsSync(typescript)) return { url: typescript.href, format: "module", shortCircuit: true };
  }
  return next(specifier, context);
}

/** Node's load hook: the JavaScript of one of our .ts files. */
export async function load(url, context, next) {
  if (!url.endsWith(".ts") || !isOurs(url)) return next(url, context);
  const source = readFileSync(new URL(url), "utf8");
  const key = createHash("sha256").update(self).update(`\0${url}\0${source}`).digest("hex").slice(0, 32);
  const kept = new URL(`${key}.js`, cache);
  if (!existsSync(kept)) {
    const output = await transpile(source, fileURLToPath(url));
    mkdirSync(cache, { recursive: true });
    const part = new URL(`${key}.${randomUUID()}.part`, cache);
    writeFileSync(part, output);
    renameSync(part, kept);
  }
  return { format: "module", source: readFileSync(kept, "utf8"), shortCircuit: true };
}

async function transpile(source, fileName) {
  const { default: ts } = await import("typescript");
  const { outputText, diagnostics } = ts.transpileModule(source, {
    fileName,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
      inlineSources: true,
    },
  });
  const [error] = diagnostics ?? [];
  if (error === undefined) return outputText;
  const { line } = ts.getLineAndCharacterOfPosition(error.file, error.start);
  throw new SyntaxError(`${fileName}:${line + 1}: ${ts.flattenDiagnosticMessageText(error.messageText, "\n")}`);
}

// Loaded by --import in the main thread and in every worker: hand the two hooks above to the loader thread, where this file is loaded again.
if (!new URL(import.meta.url).searchParams.has("hooks")) module.register(`${import.meta.url}?hooks`);
