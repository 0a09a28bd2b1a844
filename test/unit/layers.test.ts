// The checks that hold the layers of lib/ and native/ find what they are there for.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { checkNativeLayers } from "../../scripts/native-layers.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

function write(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

t.test("native: forbidden includes are found, allowed ones are not", async (t) => {
  const folder = t.testdir();
  write(folder, {
    "core/engine.cpp": '#include "t2/engine.h"\n#include "model.h"\n',
    "core/bad.cpp": '#include "../cpu/blas.h"\n#include <napi.h>\n',
    "cpu/linear.cpp": '#include "blas.h"\n#include "core/model.h"\n',
    "cuda/gemm.cu":
      '#include "../cpu/blas.h"\n#include <cuda_fp16.h>\n#include "gemm.h"\n#include "t2/backend.h"\n#include "host/fibre.h"\n',
    "cuda/platform.h": "#include <cuda_runtime.h>\n#include <mma.h>\n",
    "cuda/host/runtime.cpp": '#include "cuda_runtime.h"\n#include "../context.h"\n',
    "binding/napi_setup.h": "#include <napi.h>\n",
    "binding/model.cpp": '#include "napi_setup.h"\n#include "cpu/backend_cpu.h"\n#include "cpu/blas.h"\n',
    "binding/other.cpp": "#include <node_api.h>\n",
    "include/t2/x.h": "#ifdef T2_CUDA\n#endif\n",
  });
  t.same(checkNativeLayers(folder), [
    "native/binding/model.cpp:3: binding must not include cpu/blas.h",
    "native/binding/other.cpp:1: only binding/napi_setup.h includes node_api.h",
    "native/core/bad.cpp:1: core must not include ../cpu/blas.h",
    "native/core/bad.cpp:2: only binding/napi_setup.h includes napi.h",
    "native/cpu/linear.cpp:2: cpu must not include core/model.h",
    "native/cuda/gemm.cu:1: cuda must not include ../cpu/blas.h",
    "native/cuda/gemm.cu:2: only cuda/platform.h includes cuda_fp16.h",
    "native/cuda/gemm.cu:5: host/fibre.h is found through -I alone",
    "native/include/t2/x.h: headers under include/t2 have no #if of a backend",
  ]);
});

t.test("lib: arrows that run up, and circles, are found", async (t) => {
  const folder = t.testdir();
  const use = (path: string) => `import { a } from "${path}";\nexport const a2 = a;\nexport { a2 as b };\n`;
  write(folder, {
    "package.json": '{ "name": "x", "type": "module" }',
    "lib/errors.ts": "export const a = 1;\n",
    "lib/native.ts": "export const a = 1;\n",
    "lib/transformer2.ts": "export const a = 1;\n",
    "lib/tasks/fine.ts": use("../errors.js"),
    "lib/tasks/model.ts": use("../model/fine.js"),
    "lib/model/fine.ts": `${use("../native.js")}export { a2 as a };\n`,
    "lib/model/up.ts": use("../transformer2.js"),
    "lib/train/adapt.ts": use("../adapt/fine.js"),
    "lib/adapt/fine.ts": `${use("../errors.js")}export { a2 as a };\n`,
    "lib/adapt/addon.ts": use("../native.js"),
    "lib/svf/one.ts": 'import { two } from "./two.js";\nexport const one = () => two;\n',
    "lib/svf/two.ts": 'import { one } from "./one.js";\nexport const two = () => one;\n',
  });
  cpSync(join(root, ".dependency-cruiser.cjs"), join(folder, ".dependency-cruiser.cjs"));
  const config = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  write(folder, { "tsconfig.json": JSON.stringify({ ...config, include: ["lib"] }) });
  const cruiser = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const run = spawnSync(process.execPath, [cruiser, "lib", "--config", ".dependency-cruiser.cjs", "--output-type", "json"], {
    cwd: folder,
    encoding: "utf8",
  });
  const { summary } = JSON.parse(run.stdout) as { summary: { violations: { rule: { name: string }; from: string }[] } };
  const found = summary.violations.map(({ rule, from }) => `${from} ${rule.name}`).sort();
  t.same(found, [
    "lib/adapt/addon.ts addon-from-the-core-only",
    "lib/model/up.ts bottom-does-not-look-up",
    "lib/svf/one.ts no-circle",
    "lib/tasks/model.ts tasks-know-no-model",
    "lib/train/adapt.ts adapt-and-train-apart",
  ]);
});
