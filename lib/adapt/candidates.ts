// Which experts a strategy chooses among: every expert but the classifiers, none of them twice (defect D5 of the published code).
import { invalidOption } from "../errors.js";
import type { Expert } from "../svf/expert.js";
import { baseHash } from "../svf/hash.js";

/** The label that means "none of the experts": base weights. */
export const OTHER = "other";
/** What an expert is labelled that does the first pass of the strategy `classifier`. */
export const CLASSIFIER = "classifier";

/** How an expert is named to the model that classifies. */
export function labelOf(expert: Expert): string {
  return expert.label;
}

export function isClassifier(expert: Expert): boolean {
  return labelOf(expert) === CLASSIFIER || expert.name === CLASSIFIER;
}

/**
 * The experts to choose among, in order: classifiers and `without` left out.
 * Throws `ERR_T2_INVALID_OPTION` when two have the same name or the same vectors: one of them would count twice in every mixture.
 */
export function candidates(experts: readonly Expert[], without?: Expert): Expert[] {
  const chosen = experts.filter((expert) => expert !== without && !isClassifier(expert));
  const names = new Set<string>();
  const contents = new Map<string, string>();
  for (const expert of chosen) {
    if (names.has(expert.name)) throw invalidOption("experts", "a list without duplicates", expert.name);
    names.add(expert.name);
    const { hash } = expert;
    // Untrained experts are all alike and change nothing, so they cannot count twice.
    const twin = hash === baseHash ? undefined : contents.get(hash);
    if (twin !== undefined) throw invalidOption("experts", `a list without duplicates (same vectors as "${twin}")`, expert.name);
    contents.set(hash, expert.name);
  }
  return chosen;
}

/** As `candidates`, and no two with the same label, which the dispatcher could not tell apart. */
export function labelledCandidates(experts: readonly Expert[], without?: Expert): Map<string, Expert> {
  const byLabel = new Map<string, Expert>();
  for (const expert of candidates(experts, without)) {
    const label = labelOf(expert);
    const other = byLabel.get(label);
    if (other !== undefined) {
      throw invalidOption("experts", `a list of experts with different labels (as "${other.name}", "${expert.name}" has the label)`, label);
    }
    if (label === OTHER)
      throw invalidOption("experts", `a list of experts of which none is labelled "${OTHER}", which means the base`, expert.name);
    byLabel.set(label, expert);
  }
  return byLabel;
}
