// The raw addon over a table instead of a transformer: the next token depends on the last token and on z alone. Asynchronous like the
// real one (nothing settles before the event loop turns), and it remembers what it was asked.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { matrixShapes } from "../../lib/model/info.js";
import type {
  AdapterHandle,
  Addon,
  CancelToken,
  DecomposedMatrix,
  GenerateEvent,
  GenerateRow,
  GradientRequest,
  GradientResult,
  MatrixInfo,
  ModelHandle,
  ModelSpec,
  OpenOptions,
  ScoreItem,
} from "../../typings/addon.js";
import { vocabularySize } from "./tiny-model.js";

interface Token {
  fired: boolean;
}
interface Adapter {
  vectors: Record<string, Float32Array>;
  /** How far z is from 1 in all: what the table sees of it. */
  shift: number;
}
interface Running {
  rows: GenerateRow[];
  cancelled: boolean[][];
  stop: Error | undefined;
}

export interface FakeAddon extends Addon {
  /** What the table writes after these tokens. Default: successor(). */
  next: (tokens: readonly number[], adapter: Adapter | null) => number;
  /** Tokens of every event after the first. Default 1. */
  eventTokens: number;
  /** Milliseconds a decode step, a matrix of a decomposition and everything else takes. */
  delays: { step: number; matrix: number; call: number };
  readonly log: {
    opened: { spec: ModelSpec; options: OpenOptions }[];
    generated: { rows: GenerateRow[]; mode: string }[];
    cancelled: [row: number, sample: number][];
    scored: ScoreItem[][];
    gradients: GradientRequest[];
    decomposed: string[][];
    attached: string[][];
    adapters: Record<string, Float32Array>[];
    closed: number;
    hashed: string[][];
    fired: number;
  };
  tokensOf(text: string): number[];
}

/** An error as the addon makes it: code and JSON detail. */
export function nativeError(code: string, message: string, detail?: object): Error {
  return Object.assign(new Error(message), { code, ...(detail === undefined ? {} : { detail: JSON.stringify(detail) }) });
}

const sleep = (milliseconds: number) =>
  new Promise<void>((resolve) => (milliseconds === 0 ? setImmediate(resolve) : setTimeout(resolve, milliseconds)));

/** Letters count up: a → b → … → z → end. */
function successor(tokens: readonly number[], adapter: Adapter | null): number {
  const last = tokens.at(-1) ?? 0;
  const step = 1 + Math.round(adapter?.shift ?? 0);
  if (last >= 97 && last <= 122) return last + step <= 122 ? last + step : 258;
  return 97;
}

export function fakeAddon(): FakeAddon {
  let closed = false;
  let spec: ModelSpec | undefined;
  const factors = new Set<string>();
  const running = new Map<number, Running>();
  let lastId = 0;
  const shapes = () =>
    matrixShapes(spec ? { ...spec } : { layers: 0, hiddenSize: 0, intermediateSize: 0, heads: 0, kvHeads: 0, headDim: 0 });
  const checkOpen = () => {
    if (closed) throw nativeError("ERR_T2_DISPOSED", "The model was disposed of.");
  };
  const checkToken = (token: CancelToken | null) => {
    checkOpen();
    if (token && (token as unknown as Token).fired) throw nativeError("ERR_T2_ABORTED", "The work was aborted.");
  };
  const work = async (token: CancelToken | null, milliseconds = fake.delays.call) => {
    await sleep(milliseconds);
    checkToken(token);
  };
  const adapterOf = (handle: AdapterHandle | null) => handle as unknown as Adapter | null;
  /** Log-prob of one token after others: high for the table's choice. */
  const logprob = (before: readonly number[], token: number, adapter: Adapter | null) =>
    fake.next(before, adapter) === token ? -0.125 : -4;

  const fake: FakeAddon = {
    version: "fake",
    next: successor,
    eventTokens: 1,
    delays: { step: 0, matrix: 0, call: 0 },
    log: {
      opened: [],
      generated: [],
      cancelled: [],
      scored: [],
      gradients: [],
      decomposed: [],
      attached: [],
      adapters: [],
      closed: 0,
      hashed: [],
      fired: 0,
    },
    tokensOf: (text) => [...Buffer.from(text)],
    systemInfo: () => ({ isa: "table", cores: 1, blas: "none", compiler: "none", build: "fake" }),
    cancelCreate: () => ({ fired: false }) as unknown as CancelToken,
    cancelFire(token) {
      (token as unknown as Token).fired = true;
      fake.log.fired++;
    },

    async modelOpen(asked, options, cancel, onProgress) {
      fake.log.opened.push({ spec: asked, options });
      spec = asked;
      await work(cancel);
      onProgress?.(1, 1, "weights");
      return { open: true } as unknown as ModelHandle;
    },
    async modelClose() {
      fake.log.closed++;
      closed = true;
      await sleep(0);
    },
    modelMatrices: () => shapes().map((m): MatrixInfo => ({ ...m, dtype: "F32", hasFactors: factors.has(m.name) })),
    modelMemory: () => ({ mapped: 1, merged: 2, factors: 3, kv: 4, device: { weights: 0, factors: 0, available: 5, total: 6 } }),
    modelDevice: () => '{"name":"table"}',
    deviceProbe: () => ({
      ok: false,
      attempts: '[{"what":"backend library","path":"none","ok":false,"why":"a table"}]',
      description: "",
      available: 0,
      total: 0,
    }),
    async modelHash(_model, names, cancel) {
      fake.log.hashed.push(names);
      await work(cancel);
      return names.map((name) => createHash("sha256").update(name).digest("hex"));
    },
    async matrixRead(_model, name) {
      await work(null);
      const shape = shapes().find((m) => m.name === name);
      return new Float32Array((shape?.rows ?? 0) * (shape?.columns ?? 0));
    },

    async decompose(_model, names, options, cancel, onMatrix) {
      fake.log.decomposed.push(names);
      for (const name of names) {
        await work(cancel, fake.delays.matrix);
        onMatrix(decomposed(shapes().find((m) => m.name === name) as { name: string; rows: number; columns: number }, options.dtype));
      }
    },
    async factorsAttach(_model, files) {
      await work(null);
      for (const { path } of files) if (!existsSync(path)) throw nativeError("ERR_T2_INVALID_FACTORS", `no file ${path}`);
      fake.log.attached.push(files.map((file) => file.name));
      for (const { name } of files) factors.add(name);
    },
    adapterCreate(_model, vectors) {
      checkOpen();
      for (const name of Object.keys(vectors))
        if (!factors.has(name)) throw nativeError("ERR_T2_INVALID_OPTION", `no factors: ${name}`, { name });
      fake.log.adapters.push(vectors);
      let shift = 0;
      for (const z of Object.values(vectors)) for (const value of z) shift += value - 1;
      return { vectors, shift } as unknown as AdapterHandle;
    },
    adapterMerge: (_model, _adapter, cancel) => work(cancel),

    generateStart(_model, rows, mode, onEvent, onDone) {
      checkOpen();
      const id = ++lastId;
      fake.log.generated.push({ rows, mode });
      const run: Running = { rows, cancelled: rows.map((row) => Array.from({ length: row.n }, () => false)), stop: undefined };
      running.set(id, run);
      generate(run, onEvent).then(
        (completionTokens) => {
          running.delete(id);
          const promptTokens = rows.reduce((sum, row) => sum + row.tokens.length, 0);
          onDone(null, { promptTokens, completionTokens, prefillMilliseconds: 1, decodeMilliseconds: 2, mode: "base" });
        },
        (error: Error) => onDone(error, null),
      );
      return id;
    },
    generateCancel(_model, id, row, sample) {
      fake.log.cancelled.push([row, sample]);
      const run = running.get(id);
      if (run === undefined) return;
      if (row < 0) for (const samples of run.cancelled) samples.fill(true);
      else if (run.cancelled[row] !== undefined) run.cancelled[row][sample] = true;
    },

    async score(_model, items, _mode, cancel) {
      fake.log.scored.push(items);
      await work(cancel);
      return items.map((item) =>
        item.continuations.map((continuation) => {
          const tokens = [...item.tokens];
          return Float32Array.from(continuation, (token) => {
            const value = logprob(tokens, token, adapterOf(item.adapter));
            tokens.push(token);
            return value;
          });
        }),
      );
    },
    async logits(_model, sequences, adapter, _mode, cancel) {
      await work(cancel);
      return sequences.map((sequence) => {
        const out = new Float32Array(sequence.length * vocabularySize);
        sequence.forEach((_, t) => {
          out[t * vocabularySize + fake.next([...sequence.slice(0, t + 1)], adapterOf(adapter))] = 1;
        });
        return out;
      });
    },
    async gradients(_model, request, cancel): Promise<GradientResult> {
      fake.log.gradients.push(request);
      await work(cancel);
      const logprobs = request.groups.map((group) =>
        group.completions.map((completion) => {
          const tokens = [...group.tokens];
          return Float32Array.from(completion, (token) => {
            const value = logprob(tokens, token, adapterOf(request.adapter));
            tokens.push(token);
            return value;
          });
        }),
      );
      let loss = 0;
      let count = 0;
      request.groups.forEach((group, g) => {
        group.weights.forEach((weight, c) => {
          for (const value of logprobs[g]?.[c] ?? []) loss -= weight * value;
          count += logprobs[g]?.[c]?.length ?? 0;
        });
      });
      const ranks = new Map(shapes().map((m) => [m.name, m.rank]));
      const vectors = Object.fromEntries(request.names.map((name) => [name, new Float32Array(ranks.get(name) ?? 0).fill(loss)]));
      // A KL of half a nat at every token.
      return {
        loss,
        kl: request.klWeight > 0 ? count / 2 : 0,
        logprobs,
        vectors,
        microBatches: 1,
        checkpointed: false,
        mode: "base",
        peakBytes: 0,
      };
    },
    operator: () => ({}),
  };

  async function generate(run: Running, onEvent: (events: GenerateEvent[]) => void): Promise<number> {
    const samples = run.rows.flatMap((row, r) =>
      Array.from({ length: row.n }, (_, s) => ({ row, r, s, tokens: [...row.tokens], written: 0, pending: [] as number[], over: false })),
    );
    let total = 0;
    while (samples.some((sample) => !sample.over)) {
      await sleep(fake.delays.step);
      checkOpen();
      const events: GenerateEvent[] = [];
      for (const sample of samples) {
        if (sample.over) continue;
        let finish: GenerateEvent["finish"] = "";
        if (run.cancelled[sample.r]?.[sample.s]) finish = "aborted";
        else {
          const token = fake.next(sample.tokens, adapterOf(sample.row.adapter));
          sample.tokens.push(token);
          sample.pending.push(token);
          sample.written++;
          total++;
          if (sample.row.stopIds.includes(token)) finish = "stop";
          else if (sample.written >= sample.row.maxTokens) finish = "length";
        }
        if (finish !== "") sample.over = true;
        if (finish !== "" || (sample.row.stream && sample.pending.length >= fake.eventTokens)) {
          const tokens = Int32Array.from(sample.pending);
          const logprobs = sample.row.logprobs ? new Float32Array(tokens.length).fill(-0.125) : null;
          events.push({ row: sample.r, sample: sample.s, tokens, logprobs, finish });
          sample.pending = [];
        }
      }
      if (events.length > 0) onEvent(events);
    }
    return total;
  }
  return fake;
}

/** Factors of the right shapes; their values mean nothing. */
function decomposed(matrix: { name: string; rows: number; columns: number }, dtype: "F16" | "F32"): DecomposedMatrix {
  const { name, rows, columns } = matrix;
  const rank = Math.min(rows, columns);
  const size = dtype === "F32" ? 4 : 2;
  return {
    name,
    rows,
    columns,
    rank,
    dtype,
    u: new ArrayBuffer(rows * rank * size),
    vh: new ArrayBuffer(rank * columns * size),
    sigma: Float32Array.from({ length: rank }, (_, i) => rank - i),
    sha256: createHash("sha256").update(name).digest("hex"),
    residual: 1e-7,
    orthogonalityU: 1e-7,
    orthogonalityV: 1e-7,
    driver: "gram",
    milliseconds: 1,
  };
}
