// Which matrices of a model are meant: "all", "mlp", a list of roles or names, some layers.
import { invalidOption } from "../errors.js";
import { type MatrixShape, type Role, roles, type Targets } from "../model/info.js";

export { roles };

const groups: Readonly<Record<"all" | "mlp" | "attention", readonly Role[]>> = {
  all: roles,
  mlp: ["gate", "up", "down"],
  attention: ["q", "k", "v", "o"],
};

/**
 * The matrices that `targets` names, in the order of `matrices` (layer order), each once.
 * A list may mix roles ("q", "down") and full matrix names.
 * Throws `ERR_T2_INVALID_OPTION` for an unknown role, name, group or layer, and when nothing is selected.
 */
export function selectMatrices(matrices: readonly MatrixShape[], targets: Targets = "all"): MatrixShape[] {
  const keep = predicate(matrices, targets);
  const selected = matrices.filter(keep);
  if (selected.length === 0) throw invalidOption("targets", "a selection of at least one matrix", targets);
  return selected;
}

function predicate(matrices: readonly MatrixShape[], targets: Targets): (matrix: MatrixShape) => boolean {
  if (typeof targets === "string") {
    if (!Object.hasOwn(groups, targets)) throw invalidOption("targets", expected, targets);
    const wanted = groups[targets];
    return (matrix) => wanted.includes(matrix.role);
  }
  if (isList(targets)) {
    const names = new Set(matrices.map((matrix) => matrix.name));
    for (const item of targets) {
      if (!isRole(item) && !names.has(item)) throw invalidOption("targets", `${expected}; this model has no matrix of that name`, item);
    }
    const wanted = new Set(targets);
    return (matrix) => wanted.has(matrix.role) || wanted.has(matrix.name);
  }
  if (typeof targets !== "object" || targets === null) throw invalidOption("targets", expected, targets);
  const { roles: wantedRoles = roles, layers } = targets;
  for (const role of wantedRoles) if (!isRole(role)) throw invalidOption("targets.roles", `a list of ${roles.join(", ")}`, role);
  const count = matrices.reduce((most, matrix) => Math.max(most, matrix.layer + 1), 0);
  for (const layer of layers ?? []) {
    if (!Number.isInteger(layer) || layer < 0 || layer >= count) {
      throw invalidOption("targets.layers", `a list of layers from 0 to ${count - 1}`, layer);
    }
  }
  return (matrix) => wantedRoles.includes(matrix.role) && (layers === undefined || layers.includes(matrix.layer));
}

const expected = `"all", "mlp", "attention", a list of roles (${roles.join(", ")}) or matrix names, or { roles, layers }`;

function isRole(text: string): text is Role {
  return (roles as readonly string[]).includes(text);
}

function isList(targets: Targets): targets is readonly string[] {
  return Array.isArray(targets);
}
