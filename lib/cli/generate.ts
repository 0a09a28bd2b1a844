// t2 generate: an answer as it is written, by the base, an expert, a mixture, or what a first pass decides.
import { type Command, Option } from "commander";
import type { Adapter, GenerateOptions, Generation } from "../engine.js";
import { invalidOption } from "../errors.js";
import type { Mixture } from "../svf/mixture.js";
import type { Transformer2 } from "../transformer2.js";
import { collect, mixture, realNumber, wholeNumber } from "./arguments.js";
import { type Io, printable, toJson } from "./io.js";
import { type ModelOptions, useModel, withModel } from "./model.js";
import { asPrompt, promptFrom } from "./prompt-text.js";
import { defined, promptStrategyNames, strategyFrom, withDispatch } from "./strategy.js";

interface Options extends ModelOptions {
  expert?: string;
  mix?: Mixture;
  adapt?: "prompt" | "classifier";
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  stop?: string[];
  system?: string;
  raw?: boolean;
}

export function generateCommand(program: Command, io: Io): void {
  const command = program
    .command("generate")
    .description("answer a prompt; the text streams to standard output")
    .argument("[prompt...]", 'the prompt; "-" or a pipe reads standard input')
    .option("--expert <name>", "answer with this expert")
    .option("--mix <weights>", "answer with a mixture, e.g. math=0.7,code=0.3", mixture)
    .addOption(new Option("--adapt <strategy>", "find out by a first pass which expert to use").choices(promptStrategyNames))
    .option("--max-tokens <number>", "tokens to write at most (default: 256)", wholeNumber)
    .option("--temperature <number>", "0 is greedy (default: 0)", realNumber)
    .option("--top-p <share>", "sample from the tokens that make up this probability", realNumber)
    .option("--top-k <number>", "sample from the k most probable tokens", wholeNumber)
    .option("--min-p <share>", "sample from tokens at least this probable, relative to the best", realNumber)
    .option("--repetition-penalty <number>", "divide the logits of tokens already seen", realNumber)
    .option("--seed <number>", "of the sampling (default: 0)", wholeNumber)
    .option("--stop <text>", "end the answer before this text; may be repeated", collect)
    .option("--system <text>", "system message")
    .option("--raw", "give the prompt as it stands, without the chat template");
  withDispatch(withModel(command));
  command.action(async (words: string[], options: Options) => {
    const ways = [options.expert, options.mix, options.adapt].filter((way) => way !== undefined);
    if (ways.length > 1)
      throw invalidOption("expert", "the only one of --expert, --mix and --adapt", options.expert ?? "given with another");
    const prompt = asPrompt(await promptFrom(words), options);
    const needed =
      options.expert !== undefined
        ? [options.expert]
        : options.mix !== undefined
          ? Object.keys(options.mix.weights)
          : options.adapt
            ? "all"
            : [];
    await useModel(io, options, needed, async (t2, progress) => {
      const settings: GenerateOptions = {
        ...defined({
          maxTokens: options.maxTokens,
          temperature: options.temperature,
          topP: options.topP,
          topK: options.topK,
          minP: options.minP,
        }),
        ...defined({ repetitionPenalty: options.repetitionPenalty, seed: options.seed, stop: options.stop }),
        signal: io.signal,
      };
      let adapter: Adapter = options.expert === undefined ? (options.mix ?? "base") : nameOf(t2, options.expert);
      if (options.adapt !== undefined) {
        const adapted = await t2.adapt(prompt, { strategy: strategyFrom(options.adapt, options), signal: io.signal });
        adapter = adapted.adapter;
        const chosen = adapted.abstained
          ? "base"
          : Object.entries(adapted.weights)
              .map(([name, weight]) => `${name}=${Number(weight.toFixed(3))}`)
              .join(",");
        if (!options.json) io.err(`adapted: ${chosen}\n`);
      }
      progress.clear();
      const stream = t2.stream(prompt, { ...settings, adapter });
      if (!options.json) for await (const piece of stream) io.out(io.outIsTerminal ? printable(piece) : piece);
      const result: Generation = await stream.result;
      io.out(options.json ? `${toJson(result)}\n` : result.text.endsWith("\n") ? "" : "\n");
    });
  });
}

/** An expert given by its path is loaded under its own name. */
function nameOf(t2: Transformer2, given: string): string {
  return t2.experts.has(given) ? given : (t2.experts.names.at(-1) ?? given);
}
