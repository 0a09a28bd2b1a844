#!/usr/bin/env node
// `npm run prebuilds`: puts the addon under prebuilds/<platform>-<arch>/ in node-gyp-build's layout, as it travels in the npm package.
//
// prebuildify does this around node-gyp, whose arguments cmake-js does not understand. So this file is also the "node-gyp" that prebuildify
// is given: called with `rebuild …` it runs our own build and ignores the rest, which Node-API makes meaningless.

import { copyFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { at, root, run } from "./setup/shell.mjs";

if (process.argv[2] === "rebuild") {
  run(process.execPath, [at("scripts", "setup.mjs")]);
} else {
  const prebuildify = createRequire(import.meta.url)("prebuildify");
  const self = fileURLToPath(import.meta.url);
  const made = at("build", "Release");
  prebuildify({ cwd: root, napi: true, tagLibc: process.platform === "linux", nodeGyp: self, targets: [process.version] }, (error) => {
    if (error) throw error;
    const folder = at("prebuilds", `${process.platform}-${process.arch}`);
    // prebuildify moves the addon away, and leaves libraries with long version numbers behind.
    for (const name of readdirSync(folder)) if (name.endsWith(".node")) copyFileSync(`${folder}/${name}`, `${made}/transformer2.node`);
    for (const name of readdirSync(made)) if (/\.so(\.\d+)*$|\.dylib$/.test(name)) copyFileSync(`${made}/${name}`, `${folder}/${name}`);
    process.stdout.write(`${folder}: ${readdirSync(folder).join(", ")}\n`);
  });
}
