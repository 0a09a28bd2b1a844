// tap takes files and globs; people also name folders.

import { statSync } from "node:fs";
import { at } from "./shell.mjs";

/** Arguments for tap with every folder replaced by a glob of its tests. */
export function testArguments(selected) {
  return selected.map((argument) => {
    const isFolder = !argument.startsWith("-") && statSync(at(argument), { throwIfNoEntry: false })?.isDirectory();
    return isFolder ? `${argument.replace(/\/$/, "")}/**/*.test.ts` : argument;
  });
}
