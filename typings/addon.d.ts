// The raw addon's surface: the contract between lib/native.ts and native/binding. test/native/contract.test.ts holds the two together.
//
// Handles are opaque externals; passing anything else throws ERR_T2_INVALID_OPTION. Every asynchronous call runs on the model's engine
// thread in the order of the calls and settles its promise on the JavaScript thread. Errors are `Error` objects with `code`
// (ERR_T2_…) and, where there are numbers or names to report, `detail` (a JSON text). Typed arrays passed in are copied before the call
// returns; those handed out belong to JavaScript.

export interface ModelHandle {
  readonly __model: unique symbol;
}
export interface AdapterHandle {
  readonly __adapter: unique symbol;
}
/** Fired once by cancelFire; work that holds it stops at its next check and rejects with ERR_T2_ABORTED. */
export interface CancelToken {
  readonly __cancel: unique symbol;
}

export interface SystemInfo {
  /** Kernel variant chosen at run time: "amx" (AVX-512 with AMX for BF16), "avx512", "avx2", "neon" or "baseline"; T2_CPU forces a lower one. */
  isa: string;
  cores: number;
  /** e.g. "OpenBLAS 0.3.21 Zen". */
  blas: string;
  compiler: string;
  build: string;
}

/** A checkpoint's config.json after lib/model/config.ts has normalised it. */
export interface ModelSpec {
  /** Absolute paths of the safetensors shards. */
  files: string[];
  /** Put before every tensor name, "" for plain language models. */
  prefix: string;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabularySize: number;
  rmsNormEps: number;
  tiedHead: boolean;
  /** Rotary inverse frequencies after scaling, length headDim / 2, and the factor on cos and sin (1 unless yarn). */
  ropeInverseFrequencies: Float32Array;
  ropeAttentionFactor: number;
  /** Tokens a query may look back, itself included; 0: all. One value per layer. */
  slidingWindow: Int32Array;
  attentionBias: boolean;
  contextLength: number;
}

export interface OpenOptions {
  /** Engine threads, 0: as many as cores. */
  threads: number;
  /** Bytes for KV cache, activations and merged weights together; 0: no cap. */
  maxMemory: number;
  deterministic: boolean;
  /** Reads every weight once to find NaN and infinities. */
  checkWeights: boolean;
  /**
   * The CPU, or device `index` of the backend in the shared library `path`; `libraryPath` is where the vendor's libraries are looked for
   * first. A backend that cannot be opened is ERR_T2_CUDA_UNAVAILABLE with detail { device, attempts: [{ what, path, ok, why }] }.
   */
  device: { kind: "cpu" } | { kind: "library"; path: string; index: number; libraryPath: string | null };
}

export interface DeviceProbe {
  ok: boolean;
  /** JSON: [{ what, path, ok, why }]. */
  attempts: string;
  /** JSON of modelDevice, or empty. */
  description: string;
  /** Bytes of its memory. */
  available: number;
  total: number;
}

export interface ModelMemory {
  /** Bytes now held: weights mapped, merged weights, factors mapped, KV cache. */
  mapped: number;
  merged: number;
  factors: number;
  kv: number;
  /** Copies of weights and factors in a device's own memory, and what the device has left, as last heard. */
  device: { weights: number; factors: number; available: number; total: number };
}

export interface MatrixInfo {
  /** Hugging Face module name without ".weight", e.g. "model.layers.0.self_attn.q_proj". */
  name: string;
  layer: number;
  /** "q" | "k" | "v" | "o" | "gate" | "up" | "down" */
  role: string;
  rows: number;
  columns: number;
  dtype: "F32" | "F16" | "BF16";
  hasFactors: boolean;
}

export type ProgressCallback = (done: number, total: number, detail: string) => void;

export interface DecomposedMatrix {
  name: string;
  rows: number;
  columns: number;
  rank: number;
  /** U row-major [rows, rank] and Vh row-major [rank, columns] in `dtype`, sigma descending [rank]. */
  dtype: "F16" | "F32";
  u: ArrayBuffer;
  vh: ArrayBuffer;
  sigma: Float32Array;
  /** SHA-256 of the matrix' bytes as stored, hexadecimal. */
  sha256: string;
  /**
   * ‖W − U S Vh‖F / ‖W‖F, estimated with 32 random probes in fp64 (to about 12 %), and max|I − UᵀU|, max|I − Vh Vhᵀ| in fp32; all of the fp32
   * factors, before the cast to `dtype`.
   */
  residual: number;
  orthogonalityU: number;
  orthogonalityV: number;
  /** "gram", "gram+newton-schulz", "gesdd", "gesvd", "gesvdj" or "gesvdp". */
  driver: string;
  milliseconds: number;
}

export interface GenerateRow {
  tokens: Int32Array;
  /** Samples of this prompt; they share its prefill. Sample j draws from Philox stream (seed, sequence + j). */
  n: number;
  adapter: AdapterHandle | null;
  maxTokens: number;
  /** 0: greedy. */
  temperature: number;
  /** 0: off. */
  topK: number;
  /** 1: off. */
  topP: number;
  /** 0: off. */
  minP: number;
  /** 1: off. */
  repetitionPenalty: number;
  seed: number;
  sequence: number;
  stopIds: Int32Array;
  logprobs: boolean;
  /** Events for every token; otherwise one event when the sample ends. */
  stream: boolean;
}

export interface GenerateEvent {
  row: number;
  sample: number;
  /** New tokens since the last event of this sample; a stop token is included as the last one. */
  tokens: Int32Array;
  logprobs: Float32Array | null;
  finish: "" | "stop" | "length" | "aborted";
}

export interface GenerateStats {
  promptTokens: number;
  completionTokens: number;
  prefillMilliseconds: number;
  decodeMilliseconds: number;
  /** How the weights were applied: "base", "merged" or "factored". */
  mode: string;
}

export interface ScoreItem {
  tokens: Int32Array;
  continuations: Int32Array[];
  adapter: AdapterHandle | null;
}

export interface GradientGroup {
  tokens: Int32Array;
  completions: Int32Array[];
  /** One coefficient per completion: loss = Σ weight · Σ_t −log p(y_t). */
  weights: Float32Array;
}

export interface GradientRequest {
  groups: GradientGroup[];
  adapter: AdapterHandle | null;
  /** Matrices whose dz is wanted; they need factors. */
  names: string[];
  /** Coefficient of KL per completion token; 0 leaves the reference pass out. */
  klWeight: number;
  klDirection: "policy-reference" | "reference-policy";
  mode: "auto" | "merged" | "factored";
  /** Bytes the activations of one micro-batch may take. */
  activationBytes: number;
}

export interface GradientResult {
  /** Σ weight · Σ_t −log p, without KL. */
  loss: number;
  /** Σ over tokens of KL_t, unweighted. */
  kl: number;
  /** Log-prob of every completion token, per group and completion. */
  logprobs: Float32Array[][];
  /** dL/dz per name, KL included. z as used: W' = U diag(sigma z) Vh. */
  vectors: Record<string, Float32Array>;
  microBatches: number;
  checkpointed: boolean;
  mode: string;
  peakBytes: number;
}

export interface Addon {
  readonly version: string;
  systemInfo(): SystemInfo;
  cancelCreate(): CancelToken;
  cancelFire(token: CancelToken): void;

  modelOpen(spec: ModelSpec, options: OpenOptions, cancel: CancelToken | null, onProgress: ProgressCallback | null): Promise<ModelHandle>;
  /** Stops running work (its promises reject with ERR_T2_DISPOSED), frees everything. Idempotent. */
  modelClose(model: ModelHandle): Promise<void>;
  modelMatrices(model: ModelHandle): MatrixInfo[];
  modelMemory(model: ModelHandle): ModelMemory;
  /** JSON: what the model's device says of itself; `name` is always there. */
  modelDevice(model: ModelHandle): string;
  /** Opens a backend's library and device and closes them again. */
  deviceProbe(path: string, index: number, libraryPath: string | null): DeviceProbe;
  /** SHA-256 of each matrix' bytes, hexadecimal. */
  modelHash(model: ModelHandle, names: string[], cancel: CancelToken | null, onProgress: ProgressCallback | null): Promise<string[]>;
  /** A matrix as fp32, row-major; with an adapter, W' as it is used when merged. */
  matrixRead(model: ModelHandle, name: string, adapter: AdapterHandle | null): Promise<Float32Array>;

  decompose(
    model: ModelHandle,
    names: string[],
    options: { dtype: "F16" | "F32"; driver: "auto" | "gram" | "gesdd" | "gesvd" | "gesvdj" | "gesvdp" },
    cancel: CancelToken | null,
    onMatrix: (matrix: DecomposedMatrix) => void,
  ): Promise<void>;
  /** Maps factor files (safetensors with U, S, Vh). Resolves when all are checked against the matrices' shapes. */
  factorsAttach(model: ModelHandle, files: { name: string; path: string }[]): Promise<void>;

  /** z vectors per matrix name, as used; matrices left out stay as they are. Needs attached factors for these names. */
  adapterCreate(model: ModelHandle, vectors: Record<string, Float32Array>): AdapterHandle;
  /** Makes W' for the adapter now (the auto mode does it when it pays). At most one adapter is merged at a time; null drops it. */
  adapterMerge(model: ModelHandle, adapter: AdapterHandle | null, cancel: CancelToken | null): Promise<void>;

  /** Adds rows to the running batch; returns an id for generateCancel. `onEvent` is called with coalesced events. */
  generateStart(
    model: ModelHandle,
    rows: GenerateRow[],
    mode: "auto" | "merged" | "factored",
    onEvent: (events: GenerateEvent[]) => void,
    onDone: (error: Error | null, stats: GenerateStats | null) => void,
  ): number;
  /** Ends one sample (row, sample ≥ 0) or the whole call (row −1). Its remaining events have finish "aborted". */
  generateCancel(model: ModelHandle, id: number, row: number, sample: number): void;

  /** Log-prob of every continuation token, per item and continuation. */
  score(
    model: ModelHandle,
    items: ScoreItem[],
    mode: "auto" | "merged" | "factored",
    cancel: CancelToken | null,
  ): Promise<Float32Array[][]>;
  /** [tokens, vocabulary] row-major, per sequence. */
  logits(
    model: ModelHandle,
    sequences: Int32Array[],
    adapter: AdapterHandle | null,
    mode: "auto" | "merged" | "factored",
    cancel: CancelToken | null,
  ): Promise<Float32Array[]>;
  gradients(
    model: ModelHandle,
    request: GradientRequest,
    cancel: CancelToken | null,
    onProgress: ProgressCallback | null,
  ): Promise<GradientResult>;

  /** Operators by name on plain arrays, for tests and benchmarks: see native/binding/operators.cpp. */
  operator(
    name: string,
    inputs: Record<string, Float32Array | Int32Array | Uint16Array | number>,
  ): Record<string, Float32Array | Float64Array | number>;
}
