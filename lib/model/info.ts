// What a loaded model is, as plain data: its size and the list of the matrices that SVF can adapt. No file is read here.

/** The seven adaptable matrices of a layer, in the order in which they are listed everywhere. */
export const roles = ["q", "k", "v", "o", "gate", "up", "down"] as const;

export type Role = (typeof roles)[number];

/** How weights are stored: IEEE 32 or 16 bits, or bfloat16. */
export type WeightDtype = "F32" | "F16" | "BF16";

/** Hugging Face module names, below "model.layers.N.". */
const modules: Readonly<Record<Role, string>> = {
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};

export interface MatrixShape {
  /** e.g. "model.layers.0.self_attn.q_proj" */
  readonly name: string;
  readonly layer: number;
  readonly role: Role;
  readonly rows: number;
  readonly columns: number;
  /** min(rows, columns): the length of z. */
  readonly rank: number;
}

export interface ModelInfo {
  /** Folder name or hub id. */
  readonly name: string;
  readonly path: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly dtype: WeightDtype;
  readonly device: string;
  /** In layer order, and within a layer in the order of `roles`. */
  readonly matrices: readonly MatrixShape[];
}

/** "all", "mlp", "attention", a list of roles or matrix names, or roles and layers to keep. Default everywhere: "all". */
export type Targets = "all" | "mlp" | "attention" | readonly string[] | { roles?: readonly string[]; layers?: readonly number[] };

/** The name under which a matrix is stored, without ".weight". */
export function matrixName(layer: number, role: Role): string {
  return `model.layers.${layer}.${modules[role]}`;
}

/** The layer and role of a name made by `matrixName`; undefined for any other text. */
export function parseMatrixName(name: string): { layer: number; role: Role } | undefined {
  const match = /^model\.layers\.(0|[1-9]\d{0,6})\.(.+)$/.exec(name);
  const role = match && roles.find((candidate) => modules[candidate] === match[2]);
  return match && role ? { layer: Number(match[1]), role } : undefined;
}

/** The sizes that decide the shapes of all matrices. */
export interface MatrixSizes {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** All adaptable matrices of a Llama-family model, rows = outputs as stored (y = W x). */
export function matrixShapes(sizes: MatrixSizes): MatrixShape[] {
  const { hiddenSize: hidden, intermediateSize: inner } = sizes;
  const query = sizes.heads * sizes.headDim;
  const key = sizes.kvHeads * sizes.headDim;
  const shapes: Readonly<Record<Role, readonly [rows: number, columns: number]>> = {
    q: [query, hidden],
    k: [key, hidden],
    v: [key, hidden],
    o: [hidden, query],
    gate: [inner, hidden],
    up: [inner, hidden],
    down: [hidden, inner],
  };
  const matrices: MatrixShape[] = [];
  for (let layer = 0; layer < sizes.layers; layer++) {
    for (const role of roles) {
      const [rows, columns] = shapes[role];
      matrices.push({ name: matrixName(layer, role), layer, role, rows, columns, rank: Math.min(rows, columns) });
    }
  }
  return matrices;
}
