// The rotary part of config.json in both of its generations: rope_theta + rope_scaling, and rope_parameters.
import { ConfigReader, invalid, unsupported } from "./config-reader.js";
import { isJsonObject, type JsonObject } from "./json-file.js";
import { computeRope, type Rope, type RopeScaling, ropeTypes } from "./rope.js";

const DEFAULT_THETA = 10000;

/** Keys of the scaling object that are read, for all types. */
const known = new Set([
  ...["rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
  ...["attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate", "partial_rotary_factor"],
  "finetuned", // a note that YaRN models carry
]);

/** Throws `ERR_T2_UNSUPPORTED_MODEL` for a type or key that is not known, `ERR_T2_INVALID_CHECKPOINT` for values out of range. */
export function readRope(config: JsonObject, headDim: number, contextLength: number): Rope {
  const parameters = config.rope_scaling ?? config.rope_parameters ?? {};
  if (!isJsonObject(parameters)) throw invalid(config.rope_scaling ? "rope_scaling" : "rope_parameters", "an object or null", parameters);
  for (const [key, value] of Object.entries(parameters)) {
    if (known.has(key) || value === null) continue;
    throw unsupported(
      `config.json has the unknown rotary setting "${key}"; parameters per layer type are not supported either.`,
      `rope_parameters.${key}`,
      value,
    );
  }
  const partial = parameters.partial_rotary_factor ?? 1;
  if (partial !== 1)
    throw unsupported("Partial rotary embedding is not supported; supported is 1.", "rope_parameters.partial_rotary_factor", partial);
  const theta = new ConfigReader({ rope_theta: parameters.rope_theta ?? config.rope_theta ?? DEFAULT_THETA }).positive("rope_theta");
  return computeRope(headDim, theta, readScaling(config, parameters, contextLength));
}

function readScaling(config: JsonObject, parameters: JsonObject, contextLength: number): RopeScaling {
  const named = parameters.rope_type ?? parameters.type ?? "default";
  const type = ropeTypes.find((candidate) => candidate === named);
  if (!type)
    throw unsupported(
      `The rope type ${JSON.stringify(named)} is not supported; supported are ${ropeTypes.join(", ")}.`,
      "rope_type",
      named,
    );
  if (type === "default" || type === "dynamic") return { type };
  const read = new ConfigReader(parameters);
  const factor = read.positive("factor");
  if (type === "linear") return { type, factor };
  // transformers lets the outer key win, which Phi-3 and some others write.
  const originalContextLength = new ConfigReader({
    original_max_position_embeddings:
      config.original_max_position_embeddings ?? parameters.original_max_position_embeddings ?? contextLength,
  }).count("original_max_position_embeddings");
  if (type === "llama3") {
    const lowFrequencyFactor = read.positive("low_freq_factor");
    const highFrequencyFactor = read.positive("high_freq_factor");
    if (highFrequencyFactor <= lowFrequencyFactor)
      throw invalid("high_freq_factor", `above low_freq_factor (${lowFrequencyFactor})`, highFrequencyFactor);
    return { type, factor, lowFrequencyFactor, highFrequencyFactor, originalContextLength };
  }
  const optional = (key: string) => (read.isSet(key) ? read.positive(key) : undefined);
  return {
    type,
    factor,
    originalContextLength,
    attentionFactor: optional("attention_factor"),
    betaFast: optional("beta_fast") ?? 32,
    betaSlow: optional("beta_slow") ?? 1,
    mscale: optional("mscale"),
    mscaleAllDimensions: optional("mscale_all_dim"),
    truncate: read.isSet("truncate") ? read.flag("truncate") : true,
  };
}
