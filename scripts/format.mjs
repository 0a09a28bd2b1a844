// `npm run format`: Biome's fixes and clang-format, in place.

import { spawnSync } from "node:child_process";
import { clangFormatProgram, nativeSources } from "./lint.mjs";
import { at, root } from "./setup/shell.mjs";

const options = { cwd: root, stdio: "inherit" };
const biome = spawnSync(process.execPath, [at("node_modules", "@biomejs", "biome", "bin", "biome"), "check", "--write", "."], options);
const program = clangFormatProgram();
if (program === undefined) process.stderr.write("no clang-format 14 or 15: C++ left as it is\n");
const clang = program && spawnSync(program, ["-i", ...nativeSources()], options);
process.exitCode = biome.status || (clang?.status ?? 0);
