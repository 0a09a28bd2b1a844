// The addon's loader: which file it opens, and that each way to fail says what was tried and what to do.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Transformer2Error } from "../../lib/errors.js";
import { addon, type LoaderHost, loadAddon } from "../../lib/native.js";

function host(changes: Partial<LoaderHost>): LoaderHost {
  return {
    root: "/nowhere",
    override: undefined,
    find: (root) => join(root, "build/Release/transformer2.node"),
    open: () => ({ version: "fake" }),
    platform: "linux",
    arch: "x64",
    libc: () => "glibc 2.31",
    node: "20.19.0",
    ...changes,
  };
}

function failure(changes: Partial<LoaderHost>): Transformer2Error {
  try {
    loadAddon(host(changes));
  } catch (error) {
    if (error instanceof Transformer2Error) return error;
    throw error;
  }
  throw new Error("loading did not fail");
}

const dlopenFails = (message: string) => ({
  open: () => {
    throw new Error(message);
  },
});

t.test("opens what node-gyp-build finds", async (t) => {
  let opened = "";
  const open = (path: string) => {
    opened = path;
    return { version: "found" };
  };
  t.equal(loadAddon(host({ open })).version, "found");
  t.equal(opened, "/nowhere/build/Release/transformer2.node");
});

t.test("T2_NATIVE is opened and nothing else", async (t) => {
  const opened: string[] = [];
  const open = (path: string) => {
    opened.push(path);
    throw new Error("file too short");
  };
  const find = () => {
    throw new Error("must not search");
  };
  const error = failure({ override: "/elsewhere/own.node", open, find });
  t.same(opened, ["/elsewhere/own.node"]);
  t.same(error.detail?.["attempts"], [{ path: "/elsewhere/own.node", problem: "file too short" }]);
});

t.test("nothing found, in a checkout: says how to build", async (t) => {
  const root = t.testdir({ "CMakeLists.txt": "" });
  const error = failure({
    root,
    find: () => {
      throw new Error("No native build was found for platform=linux\n    loaded from: here\n");
    },
  });
  t.equal(error.code, "ERR_T2_NATIVE_NOT_FOUND");
  t.match(error.message, /linux-x64 \(glibc 2\.31\), Node 20\.19\.0/);
  t.match(error.message, /No native build was found for platform=linux$/m);
  t.match(error.message, /npm run build/);
  t.ok(error.cause instanceof Error);
});

t.test("nothing found, in an installed package: says what it has binaries for", async (t) => {
  const root = t.testdir({ prebuilds: { "darwin-arm64": {}, "win32-x64": {} } });
  const find = () => {
    throw new Error("No native build was found");
  };
  t.match(failure({ root, find }).message, /binaries for darwin-arm64, win32-x64/);
  t.match(failure({ root, find, platform: "darwin", arch: "arm64", libc: () => "" }).message, /install the package again/);
});

t.test("each cause has its own advice", async (t) => {
  const path = join(t.testdir({ "x.node": "" }), "x.node");
  const causes: [problem: string, advice: RegExp][] = [
    ["/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.node)", /needs GLIBC_2\.38, which this system \(glibc 2\.31\)/],
    ["/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found", /needs GLIBCXX_3\.4\.32/],
    [
      "libopenblas.so.0: cannot open shared object file: No such file or directory",
      /libopenblas\.so\.0 is missing.*apt-get install libopenblas0/,
    ],
    ["Error relocating x.node: __memcpy_chk: symbol not found", /different C libraries/],
    ["x.node: invalid ELF header", /another processor or system/],
    ["Module did not self-register: 'x.node'", /Node-API 9/],
  ];
  for (const [problem, advice] of causes) t.match(failure({ find: () => path, ...dlopenFails(problem) }).message, advice, problem);
});

t.test("T2_NATIVE that points nowhere says so", async (t) => {
  const error = failure({ override: "gone.node", ...dlopenFails("Cannot find module 'gone.node'") });
  t.match(error.message, /T2_NATIVE is set to "gone\.node"/);
});

t.test("a real file that is no addon, through the real loader", async (t) => {
  const folder = t.testdir();
  mkdirSync(join(folder, "deep"));
  const file = join(folder, "deep", "transformer2.node");
  writeFileSync(file, "this is text, not machine code");
  const before = process.env["T2_NATIVE"];
  process.env["T2_NATIVE"] = file;
  try {
    t.throws(() => addon(), {
      code: "ERR_T2_NATIVE_NOT_FOUND",
      detail: { attempts: [{ path: file }] },
      message: /another processor|damaged/,
    });
  } finally {
    if (before === undefined) delete process.env["T2_NATIVE"];
    else process.env["T2_NATIVE"] = before;
  }
});
