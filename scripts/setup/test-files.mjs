// Which tests: tap takes files and globs, people also name folders; and the operator tests, which run once per device.

import { readdirSync, statSync } from "node:fs";
import { at } from "./shell.mjs";

/** Arguments for tap with every folder replaced by a glob of its tests. */
export function testArguments(selected) {
  return selected.map((argument) => {
    const isFolder = !argument.startsWith("-") && statSync(at(argument), { throwIfNoEntry: false })?.isDirectory();
    return isFolder ? `${argument.replace(/\/$/, "")}/**/*.test.ts` : argument;
  });
}

/** The tests of single operators and of decompositions, which run on the device that T2_TEST_DEVICE names. (operators-isa is about CPUs.) */
export function operatorTests() {
  const names = readdirSync(at("test", "native")).filter((name) => /^(operators-(?!isa).*|svd)\.test\.ts$/.test(name));
  return names.map((name) => `test/native/${name}`);
}
