// node-llama-cpp beside ours, where it and a GGUF file of the same weights are there: `npm i --ignore-scripts node-llama-cpp` in bench/peers and
// `python3 bench/make-gguf.py MODEL bench/peers/NAME.gguf` (NAME: the model folder's name). Optional; nothing of the package depends on it.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ModelFigures } from "./model.js";
import { measure, quantiles, type Row } from "./table.js";

// The part of node-llama-cpp that is used here.
interface Sequence {
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<void>;
  evaluate(tokens: number[], options: { temperature: number }): AsyncGenerator<number>;
  clearHistory(): Promise<void>;
}
interface Llama {
  loadModel(options: { modelPath: string; gpuLayers: number }): Promise<{
    createContext(options: {
      contextSize: number;
      batchSize: number;
      threads: number;
      sequences: number;
    }): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>;
  }>;
}

export async function* peerCases(folder: string, threads: number, ours: ModelFigures): AsyncGenerator<Row> {
  const root = new URL("peers/", import.meta.url).pathname;
  const entry = join(root, "node_modules/node-llama-cpp/dist/index.js");
  const gguf = join(root, `${basename(folder)}.gguf`);
  if (!existsSync(entry) || !existsSync(gguf)) {
    console.log(`\npeers: ${existsSync(entry) ? gguf : "node-llama-cpp"} is not under bench/peers, so there is no comparison`);
    return;
  }
  const { getLlama } = (await import(pathToFileURL(entry).href)) as { getLlama(options: object): Promise<Llama> };
  const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: "error" });
  const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 });
  const group = "node-llama-cpp, same weights, same process";
  const tokens = (n: number, seed: number) => Array.from({ length: n }, (_, i) => 5 + ((i * 7919 + seed * 104729) % 40000));
  const row = (name: string, size: string, seconds: number[], n: number, mine: number): Row => {
    const q = quantiles(seconds);
    return {
      group,
      name,
      size,
      ...q,
      rate: { value: n / q.median, unit: "tokens/s" },
      against: `ours is ${((mine * q.median) / n).toFixed(2)}×`,
    };
  };
  {
    const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads, sequences: 1 });
    const sequence = context.getSequence();
    let seed = 0;
    const prefill = await measure(async () => {
      await sequence.clearHistory();
      await sequence.evaluateWithoutGeneratingNewTokens(tokens(512, seed++));
    }, 4);
    yield row("prefill", "512 tokens", prefill, 512, ours.prefill);
    const write = async (s: Sequence, prompt: number[], n: number) => {
      for await (const _ of s.evaluate(prompt, { temperature: 0 })) if (--n <= 0) break;
    };
    const decode: number[] = [];
    for (let i = 0; i < 4; i++) {
      await sequence.clearHistory();
      await write(sequence, tokens(16, i), 1);
      const begin = performance.now();
      await write(sequence, tokens(1, i), 64);
      decode.push((performance.now() - begin) / 1e3);
    }
    yield row("decode, batch 1", "64 tokens", decode.slice(1), 64, ours.decode);
    await context.dispose();
  }
  {
    const context = await model.createContext({ contextSize: 128, batchSize: 512, threads, sequences: 32 });
    const sequences = Array.from({ length: 32 }, () => context.getSequence());
    const n = 64;
    let seed = 0;
    const batch = await measure(async () => {
      await Promise.all(
        sequences.map(async (s) => {
          await s.clearHistory();
          let left = n;
          for await (const _ of s.evaluate(tokens(16, seed++), { temperature: 1 })) if (--left <= 0) break;
        }),
      );
    }, 2);
    yield row("decode, batch 32", `32 × ${n} tokens`, batch, 32 * n, ours.batch);
    await context.dispose();
  }
}
