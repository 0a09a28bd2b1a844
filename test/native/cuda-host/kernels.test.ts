// What the compiler says of the real CUDA library, made by `npm run build:cuda`: no spills, every operator has its kernels, one export.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { kernelsIn } from "../../../scripts/cuda/kernels.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const made = join(root, "build/cuda/kernels.json");
const skip = existsSync(made) ? false : "build/cuda/kernels.json is not there: npm run build:cuda makes it";

interface Report {
  architectures: number[];
  library: string;
  sources: string[];
  kernels: ReturnType<typeof kernelsIn>;
}
const report = skip ? undefined : (JSON.parse(readFileSync(made, "utf8")) as Report);

t.test("no kernel spills registers on sm_80 and sm_90", { skip }, async (t) => {
  for (const architecture of [80, 90]) {
    const kernels = report!.kernels.filter((kernel) => kernel.architecture === architecture);
    t.ok(kernels.length > 0, `sm_${architecture} was built`);
    for (const k of kernels) if (k.spillStores + k.spillLoads > 0) t.fail(`${k.source}: ${k.name} spills on sm_${architecture}`);
  }
});

t.test("every kernel that a launcher names is in the library, for every architecture", { skip }, async (t) => {
  const folder = join(root, "native/cuda");
  const sources = readdirSync(folder).filter((name) => name.endsWith(".cu"));
  t.same([...report!.sources].sort(), sources.sort(), "made from the files that are there now; if not: npm run build:cuda");
  for (const source of sources) {
    const text = readFileSync(join(folder, source), "utf8");
    const names = new Set(
      [...text.matchAll(/__global__[^;{}()]*?(?:T2_LAUNCH_BOUNDS\([^)]*\)\s*)?\bvoid\s+(?:T2_LAUNCH_BOUNDS\([^)]*\)\s*)?(\w+)\s*\(/g)].map(
        (m) => m[1],
      ),
    );
    for (const name of names)
      for (const architecture of report!.architectures) {
        const found = report!.kernels.some((k) => k.source === source && k.kernel === name && k.architecture === architecture);
        if (!found) t.fail(`${source}: ${name} is not there for sm_${architecture}`);
      }
  }
});

t.test("the library exports t2_backend_create and nothing else", { skip }, async (t) => {
  const nm = spawnSync("nm", ["-D", "--defined-only", join(root, report!.library)], { encoding: "utf8" });
  t.equal(nm.status, 0, nm.stderr);
  const symbols = nm.stdout.trim().split("\n");
  t.same(
    symbols.map((line) => line.split(" ").at(-1)),
    ["t2_backend_create"],
  );
});

t.test("reading ptxas: kernels, functions that were not inlined, spills", async (t) => {
  const text = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN2t24cuda13gather_kernelIfLi4EEEvPKT_i' for 'sm_90a'
ptxas info    : Function properties for _ZN2t24cuda13gather_kernelIfLi4EEEvPKT_i
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Function properties for _ZN2t24cuda6helperEf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 25 registers, used 1 barriers, 4224 bytes smem, 392 bytes cmem[0]
`;
  t.match(kernelsIn("x.cu", text), [
    {
      source: "x.cu",
      kernel: "gather_kernel",
      name: "gather_kernel<float, 4>",
      architecture: 90,
      registers: 25,
      shared: 4224,
      spillStores: 8,
      spillLoads: 12,
    },
    { kernel: null, name: "helper", spillStores: 0 },
  ]);
});
