// t2 doctor: what this machine has, and whether the engine works on it.
import { access, constants, stat } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import { dirname } from "node:path";
import type { Command } from "commander";
import { Transformer2Error } from "../errors.js";
import { factorsFolder } from "../model/paths.js";
import { addon } from "../native.js";
import { type DeviceName, deviceLabel, type ProbedDevice, probeDevice } from "../runtime/device.js";
import type { RuntimeReport } from "../runtime/report.js";
import { Transformer2 } from "../transformer2.js";
import { deviceName } from "./arguments.js";
import { exitCodes } from "./failure.js";
import { amount, type Io, toJson } from "./io.js";
import { embeddedModel, expertFiles } from "./model.js";

/** One thing that was looked at. */
export interface Finding {
  readonly name: string;
  readonly status: "ok" | "note" | "problem";
  readonly value: string;
}

export interface DoctorReport {
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
  /** Whether a GPU can be used, and all that was tried; undefined where the addon could not be loaded. */
  readonly cuda: ProbedDevice | undefined;
  /** What the engine says of itself with the model open; undefined where it could not be opened. */
  readonly runtime: RuntimeReport | undefined;
}

export function doctorCommand(program: Command, io: Io, setExitCode: (code: number) => void): void {
  program
    .command("doctor")
    .description("show what this machine has, and try the engine")
    .option("-m, --model <folder>", "checkpoint folder to try (default: the embedded model)")
    .option("--device <name>", "device to try: auto (default), cpu, cuda, or cuda:N for GPU N", deviceName)
    .option("--json", "print the result as JSON")
    .action(async ({ model = embeddedModel, json = false, device }: { model?: string; json?: boolean; device?: DeviceName }) => {
      const report = await doctor(model, io.signal, device);
      io.out(json ? `${toJson(report)}\n` : describeDoctor(report));
      if (!report.healthy) setExitCode(exitCodes.failure);
    });
}

/** Looks at everything and throws nothing but `ERR_T2_ABORTED`: what is wrong is in the findings. */
export async function doctor(model: string, signal?: AbortSignal, device: DeviceName = "auto"): Promise<DoctorReport> {
  const findings: Finding[] = [];
  const add = (name: string, value: string, status: Finding["status"] = "ok") => findings.push({ name, status, value });
  add("node", `${process.versions.node} on ${process.platform}-${process.arch}`);
  add("memory", `${amount(freemem())}B free of ${amount(totalmem())}B`);
  await look(findings, "addon", () => {
    const { isa, cores, blas, compiler, build } = addon().systemInfo();
    add("addon", `${addon().version}, ${build}, ${compiler}`);
    add("processor", `${isa}, ${cores} cores`);
    add("blas", blas);
  });
  let cuda: ProbedDevice | undefined;
  await look(findings, "cuda", () => {
    cuda = probeDevice(addon(), device);
    if (cuda.used === "cpu") {
      add("cuda", `no GPU used: ${cuda.reason}`, "note");
      return;
    }
    const { available, total } = cuda.memory ?? { available: 0, total: 0 };
    add("cuda", `${deviceLabel(cuda)}, ${amount(available)}B free of ${amount(total)}B`);
  });
  await look(findings, "factor cache", async () => add("factor cache", await cacheState(factorsFolder())));
  let runtime: RuntimeReport | undefined;
  await look(findings, "model", async () => {
    const t2 = await Transformer2.load(model, { device, ...(signal === undefined ? {} : { signal }) });
    try {
      runtime = t2.report();
      add(
        "model",
        `${t2.info.name}: ${t2.info.architecture}, ${amount(t2.info.parameters)} parameters, ${t2.info.dtype}, on ${t2.info.device}`,
      );
      const experts = await expertFiles(`${model}/experts`);
      add(
        "experts",
        experts.length === 0 ? "none beside the model" : `${experts.length} beside the model`,
        experts.length === 0 ? "note" : "ok",
      );
      const began = performance.now();
      const { usage } = await t2.generate(
        { tokens: Int32Array.of(0) },
        { maxTokens: 16, ignoreEos: true, ...(signal === undefined ? {} : { signal }) },
      );
      add("generation", `${Math.round((1000 * usage.completionTokens) / (performance.now() - began))} tokens/s, one sequence`);
    } finally {
      await t2[Symbol.asyncDispose]();
    }
  });
  return { healthy: findings.every(({ status }) => status !== "problem"), findings, cuda, runtime };
}

async function look(findings: Finding[], name: string, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Transformer2Error && error.code === "ERR_T2_ABORTED") throw error;
    const message = error instanceof Error ? error.message : String(error);
    findings.push({ name, status: "problem", value: error instanceof Transformer2Error ? `${error.code}: ${message}` : message });
  }
}

/** The folder, or the first one above it that exists, must be writable. */
async function cacheState(folder: string): Promise<string> {
  let existing = folder;
  while (!(await stat(existing).catch(() => undefined))) {
    if (dirname(existing) === existing) break;
    existing = dirname(existing);
  }
  await access(existing, constants.W_OK);
  return existing === folder ? folder : `${folder} (made at first use)`;
}

export function describeDoctor({ findings, healthy }: DoctorReport): string {
  const marks = { ok: "ok", note: "--", problem: "!!" } as const;
  const [firstLines, rest] = [
    findings.map(({ value }) => value.split("\n")[0]!),
    findings.flatMap(({ value }) => value.split("\n").slice(1)),
  ];
  const rows = findings.map(({ name, status }, i) => `${marks[status]} ${name.padEnd(14)}${firstLines[i]}\n`);
  return `${rows.join("")}${rest.map((line) => `   ${line}\n`).join("")}${healthy ? "" : "\nSomething is wrong; see the lines with !!.\n"}`;
}
