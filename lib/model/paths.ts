// Where files go that the user did not name: the cache folder.
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** `T2_CACHE`, or `XDG_CACHE_HOME`/transformer2, or ~/.cache/transformer2. As the XDG rules say, a relative XDG_CACHE_HOME is ignored. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { T2_CACHE, XDG_CACHE_HOME } = environment;
  if (T2_CACHE) return T2_CACHE;
  return join(XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), ".cache"), "transformer2");
}

/** Where decomposed matrices are kept by default. */
export function factorsFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(environment), "factors");
}
