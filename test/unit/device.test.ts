// The search for a GPU over a made-up installation: order, what falls back and what does not, and the line that says why.
import { join } from "node:path";
import t from "tap";
import { Transformer2Error } from "../../lib/errors.js";
import { backendFiles, type DeviceHost, deviceLabel, openOnDevice, probeDevice, whyNoGpu } from "../../lib/runtime/device.js";
import type { OpenOptions } from "../../typings/addon.js";
import { fakeAddon, nativeError } from "../support/fake-addon.js";

const built = join("/package", "build", "cuda", "libt2_cuda.so");
const packaged = "/modules/cuda/libt2_cuda.so";

function hostWith(files: string[], change: Partial<DeviceHost> = {}): DeviceHost {
  return {
    root: "/package",
    override: undefined,
    libraries: undefined,
    packaged: () => packaged,
    exists: (path) => files.includes(path),
    ...change,
  };
}

const unavailable = (why: string, path = built) =>
  nativeError("ERR_T2_CUDA_UNAVAILABLE", "no", { device: 0, attempts: [{ what: "driver", path, ok: false, why }] });

/** Opens what `refuse` does not refuse, and remembers what was asked. */
function opener(refuse: (path: string) => Error | undefined = () => undefined) {
  const asked: OpenOptions["device"][] = [];
  return {
    asked,
    open: async (where: OpenOptions["device"]) => {
      asked.push(where);
      const error = where.kind === "library" ? refuse(where.path) : undefined;
      if (error) throw error;
      return where.kind;
    },
  };
}

t.test("which files are tried", async (t) => {
  t.same(backendFiles(hostWith([])), [built, packaged]);
  t.same(backendFiles(hostWith([], { packaged: () => undefined })), [built]);
  t.same(backendFiles(hostWith([], { override: "/mine.so" })), ["/mine.so"], "T2_CUDA_LIBRARY and no other");
});

t.test("the first that opens is taken", async (t) => {
  const { asked, open } = opener((path) => (path === built ? unavailable("made for another driver") : undefined));
  const host = hostWith([built, packaged], { libraries: "/nvidia" });
  const { opened, choice } = await openOnDevice({ device: "cuda:2" }, open, host);
  t.equal(opened, "library");
  t.match(choice, { requested: "cuda:2", used: "cuda:2", attempts: [{ what: "driver", why: "made for another driver" }] });
  t.strictSame(asked.at(-1), { kind: "library", path: packaged, index: 2, libraryPath: "/nvidia" });
  const named = opener();
  await openOnDevice({ device: "cuda", cudaPath: "/own" }, named.open, host);
  t.match(named.asked, [{ index: 0, libraryPath: "/own" }], "the option goes before T2_CUDA_PATH");
});

t.test("auto goes on to the CPU and says why; a GPU asked for by name does not", async (t) => {
  const cases = [
    { host: hostWith([]), error: undefined, why: `no CUDA backend in this installation (looked in ${built}, ${packaged})` },
    { host: hostWith([packaged]), error: unavailable("not found"), why: "driver: not found" },
  ];
  for (const { host, error, why } of cases) {
    const { open } = opener(() => error);
    const { opened, choice } = await openOnDevice({}, open, host);
    t.equal(opened, "cpu");
    t.match(choice, { requested: "auto", used: "cpu", reason: why });
    await t.rejects(openOnDevice({ device: "cuda" }, open, host), {
      code: "ERR_T2_CUDA_UNAVAILABLE",
      message: new RegExp(`^Device "cuda" cannot be used: ${why.replaceAll(/[().]/g, "\\$&")}\\.`),
      detail: { device: "cuda", attempts: choice.attempts },
    });
  }
  const full = opener(() => nativeError("ERR_T2_OUT_OF_MEMORY", "too large", { requested: 2, available: 1, total: 1 }));
  t.match((await openOnDevice({}, full.open, hostWith([built]))).choice, { used: "cpu", reason: /^loading the model: too large/ });
  await t.rejects(openOnDevice({ device: "cuda" }, full.open, hostWith([built])), {
    code: "ERR_T2_OUT_OF_MEMORY",
    detail: { requested: 2 },
  });
});

t.test("what is no question of devices comes through", async (t) => {
  const { open } = opener(() => nativeError("ERR_T2_INVALID_CHECKPOINT", "NaN"));
  await t.rejects(openOnDevice({}, open, hostWith([built])), { code: "ERR_T2_INVALID_CHECKPOINT" });
  const { asked, open: plain } = opener();
  t.strictSame((await openOnDevice({ device: "cpu" }, plain, hostWith([built]))).choice, { requested: "cpu", used: "cpu", attempts: [] });
  t.strictSame(asked, [{ kind: "cpu" }]);
  const silent = new Transformer2Error("ERR_T2_CUDA_UNAVAILABLE", "no list");
  t.match(await openOnDevice({}, opener(() => silent).open, hostWith([built])), { choice: { reason: "backend library: no list" } });
});

t.test("the probe of t2 doctor", async (t) => {
  const addon = fakeAddon();
  t.match(probeDevice(addon, "auto", hostWith([])), { used: "cpu", reason: /looked in/ });
  t.match(probeDevice(addon, "auto", hostWith([built])), { used: "cpu", reason: "backend library none: a table" });
  const description = { name: "cuda", device: "Some GPU" };
  addon.deviceProbe = () => ({ ok: true, attempts: "[]", description: JSON.stringify(description), available: 7, total: 9 });
  const probed = probeDevice(addon, "cuda:1", hostWith([built]));
  t.match(probed, { used: "cuda:1", description, memory: { available: 7, total: 9 } });
  t.equal(deviceLabel(probed), "cuda:1 (Some GPU)");
  t.equal(deviceLabel({ used: "cpu", description }), "cpu");
  t.equal(whyNoGpu([]), "no CUDA backend in this installation (looked in no place)");
});
