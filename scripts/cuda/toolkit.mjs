// nvcc: from the system where there is one that knows all architectures wanted, else NVIDIA's wheels from PyPI, unpacked under third_party/cuda.

import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { at, outputOf, SetupError, say, which } from "../setup/shell.mjs";
import { installWheels } from "../setup/wheels.mjs";

const wheels = [
  "nvidia-cuda-nvcc==13.0.88",
  "nvidia-nvvm==13.0.88",
  "nvidia-cuda-crt==13.0.88",
  "nvidia-cuda-runtime==13.0.96",
  "nvidia-cuda-cccl==13.0.85",
];
const folder = at("third_party", "cuda");
const fetched = join(folder, "nvidia", "cu13", "bin", "nvcc");

/** A toolkit that compiles for every one of `architectures` (numbers such as 90): { nvcc, version, include, lib }. */
export function findToolkit(architectures) {
  const wrong = [];
  for (const nvcc of installed()) {
    const missing = missingIn(nvcc, architectures);
    if (missing === undefined) return describe(nvcc);
    wrong.push(`${nvcc}: ${missing}`);
  }
  if (process.env.CUDACXX) throw new SetupError(`CUDACXX: ${wrong[0] ?? `there is no ${process.env.CUDACXX}`}`);
  if (!existsSync(fetched)) {
    say(`nvcc: fetching NVIDIA's compiler from PyPI into third_party/cuda (${wrong.join("; ") || "none is installed"})`);
    installWheels(wheels, folder, "nvcc");
  }
  const missing = missingIn(fetched, architectures);
  if (missing !== undefined) throw new SetupError(`${fetched}: ${missing}`);
  return describe(fetched);
}

function installed() {
  if (process.env.CUDACXX) return [which(process.env.CUDACXX)].filter(Boolean);
  const local = existsSync("/usr/local") ? readdirSync("/usr/local").filter((name) => name.startsWith("cuda")) : [];
  const homes = [process.env.CUDA_HOME, process.env.CUDA_PATH, ...local.sort().map((name) => join("/usr/local", name))];
  const found = [which("nvcc"), ...homes.filter(Boolean).map((home) => which(join(home, "bin", "nvcc")))].filter(Boolean);
  return [...new Set(found.map((path) => realpathSync(path)))];
}

/** Why it does not do, or undefined. */
function missingIn(nvcc, architectures) {
  const known = outputOf(nvcc, ["--list-gpu-arch"])?.match(/\d+/g)?.map(Number);
  if (known === undefined) return "does not run";
  const missing = architectures.filter((architecture) => !known.includes(architecture));
  return missing.length === 0 ? undefined : `does not know sm_${missing.join(", sm_")}`;
}

function describe(nvcc) {
  const top = dirname(dirname(nvcc));
  const targets = existsSync(join(top, "targets"))
    ? readdirSync(join(top, "targets")).map((name) => join(top, "targets", name, "lib"))
    : [];
  const lib = [join(top, "lib64"), join(top, "lib"), ...targets].find((path) => existsSync(join(path, "libcudart_static.a")));
  if (lib === undefined) throw new SetupError(`${top} has no libcudart_static.a: the toolkit is incomplete.`);
  const version = /release \S+ V([\d.]+)/.exec(outputOf(nvcc, ["--version"]).replace(",", ""))?.[1] ?? "of unknown version";
  return { nvcc, version, include: join(top, "include"), lib };
}
