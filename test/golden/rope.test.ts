// Rotary inverse frequencies against those that transformers computes in fp32 (record-rope.py).
import { readFileSync } from "node:fs";
import t from "tap";
import { parseModelConfig } from "../../lib/model/config.js";

const { cases } = JSON.parse(readFileSync(new URL("data/rope.json", import.meta.url), "utf8")) as {
  cases: { config: Record<string, unknown>; bits: number[]; attention: number }[];
};

for (const { config, bits, attention } of cases) {
  const { rope_theta, rope_scaling, rope_parameters, head_dim } = config;
  t.test(JSON.stringify({ rope_theta, rope_scaling, rope_parameters, head_dim }), async (t) => {
    const ours = parseModelConfig(config);
    const theirs = new Float32Array(Uint32Array.from(bits).buffer);
    t.equal(ours.ropeInverseFrequencies.length, theirs.length);
    let worst = 0;
    theirs.forEach((expected, i) => {
      worst = Math.max(worst, Math.abs((ours.ropeInverseFrequencies[i] as number) - expected) / expected);
    });
    // Two units in the last place: libm's powf and ours, computed in fp64 and rounded, may differ by one each way.
    t.ok(worst <= 2 ** -22, `largest relative difference ${worst}`);
    t.ok(Math.abs(ours.ropeAttentionFactor - attention) < 1e-12);
  });
}
