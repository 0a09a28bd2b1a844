// t2 decompose: the singular value decomposition of a model's matrices, into the factor cache.
import { type Command, Option } from "commander";
import type { DecomposeOptions, DecompositionReport } from "../engine.js";
import { targets } from "./arguments.js";
import { duration, type Io, toJson } from "./io.js";
import { type ModelOptions, quiet, useModel, withModel } from "./model.js";
import { defined } from "./strategy.js";

interface Options extends ModelOptions, Pick<DecomposeOptions, "targets" | "dtype" | "driver"> {}

export function decomposeCommand(program: Command, io: Io): void {
  const command = program
    .command("decompose")
    .description("decompose the weight matrices (W = U diag(s) V'); a stopped run goes on where it was")
    .option("--targets <what>", '"all", "mlp", "attention", or a list of roles (q,k,v,o,gate,up,down) or matrix names', targets)
    .addOption(new Option("--dtype <name>", "precision of U and V on disk (default: F32 for F32 models, else F16)").choices(["F16", "F32"]))
    .addOption(new Option("--driver <name>", "how (default: auto)").choices(["auto", "gram", "gesdd", "gesvd", "gesvdj", "gesvdp"]));
  withModel(command, { experts: false });
  command.action(async (options: Options) => {
    await useModel(io, options, [], async (t2, progress) => {
      const { targets: wanted, dtype, driver } = options;
      const report = await t2.decompose({
        ...defined({ targets: wanted, dtype, driver, factors: options.factors }),
        signal: io.signal,
        ...(quiet(io, options.json) ? {} : { onProgress: progress.update }),
      });
      progress.clear();
      io.out(options.json ? `${toJson(report)}\n` : describeDecomposition(report));
    });
  });
}

export function describeDecomposition(report: DecompositionReport): string {
  const { computed, reused, redone, matrices, folder, milliseconds } = report;
  const worst = (key: "residual" | "orthogonalityU" | "orthogonalityV") =>
    Math.max(0, ...matrices.map((matrix) => matrix[key])).toExponential(1);
  const damaged = redone.length === 0 ? "" : `, ${redone.length} redone because their files were damaged`;
  return `${matrices.length} matrices in ${duration(milliseconds)}: ${computed} computed, ${reused} found in the cache${damaged}
largest errors: residual ${worst("residual")}, orthogonality U ${worst("orthogonalityU")}, V ${worst("orthogonalityV")}
factors: ${folder}
`;
}
