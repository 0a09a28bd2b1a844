// The version of this library, for results and expert cards.
import { readFileSync } from "node:fs";

let known: string | undefined;

/** `version` of our package.json, which lies two folders above this file both in lib/ and in dist/. */
export function libraryVersion(): string {
  known ??= (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
  return known;
}
