// docs/errors.md lists every code and no other.
import { readFileSync } from "node:fs";
import t from "tap";
import { errorCodes } from "../../lib/errors.js";

t.test("docs/errors.md and the list of codes agree", async (t) => {
  const text = readFileSync("docs/errors.md", "utf8");
  const documented = [...text.matchAll(/^\| `(ERR_T2_\w+)` \|/gm)].map(([, code]) => code);
  t.same([...documented].sort(), Object.keys(errorCodes).sort());
});
