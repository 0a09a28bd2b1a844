import t from "tap";
import { Transformer2Error } from "../../lib/errors.js";
import { Lifetime } from "../../lib/runtime/lifetime.js";
import { fakeAddon, nativeError } from "../support/fake-addon.js";

const never = () => new Promise<never>(() => {});

t.test("a job's value and errors come through, native errors mapped", async (t) => {
  const lifetime = new Lifetime(fakeAddon());
  t.equal(await lifetime.run("work()", undefined, async () => 5), 5);
  await t.rejects(
    lifetime.run("work()", undefined, async () => {
      throw nativeError("ERR_T2_OUT_OF_MEMORY", "too much", { needed: 5 });
    }),
    { name: "Transformer2Error", code: "ERR_T2_OUT_OF_MEMORY", message: "too much", detail: { needed: 5 } },
  );
  await t.rejects(
    lifetime.run("work()", undefined, async () => {
      throw nativeError("ERR_T2_FROM_THE_FUTURE", "surprise");
    }),
    { code: "ERR_T2_NATIVE", message: /ERR_T2_FROM_THE_FUTURE.*surprise.*bug/, cause: Error },
  );
  const theirs = new TypeError("in a callback of the caller's");
  await t.rejects(
    lifetime.run("work()", undefined, async () => {
      throw theirs;
    }),
    theirs,
    "what is not ours stays as it is",
  );
  const own = new Transformer2Error("ERR_T2_IO", "disk");
  await t.rejects(
    lifetime.run("work()", undefined, () => {
      throw own;
    }),
    own,
    "a synchronous throw is a rejection too",
  );
});

t.test("an abort rejects at once with the signal's reason, fires the token and tells the job", async (t) => {
  const addon = fakeAddon();
  const lifetime = new Lifetime(addon);
  const controller = new AbortController();
  const reason = new Error("user left");
  let stops = 0;
  let check: (() => void) | undefined;
  const run = lifetime.run("generate()", controller.signal, (job) => {
    job.onStop(() => stops++);
    job.signal.addEventListener("abort", () => stops++);
    check = job.check;
    return never();
  });
  await null;
  setImmediate(() => controller.abort(reason));
  await t.rejects(run, { code: "ERR_T2_ABORTED", cause: reason, message: /generate\(\) was aborted/ });
  t.equal(addon.log.fired, 1);
  t.equal(stops, 2);
  t.throws(() => check?.(), { code: "ERR_T2_ABORTED" });
});

t.test("a signal that fired before is refused before any work", async (t) => {
  const lifetime = new Lifetime(fakeAddon());
  let worked = false;
  await t.rejects(
    lifetime.run("score()", AbortSignal.abort("why"), async () => {
      worked = true;
    }),
    { code: "ERR_T2_ABORTED", cause: "why" },
  );
  t.notOk(worked);
});

t.test("close rejects what runs and refuses what comes", async (t) => {
  const lifetime = new Lifetime(fakeAddon());
  const running = [lifetime.run("a()", undefined, never), lifetime.run("b()", undefined, never)];
  const settled = Promise.allSettled(running);
  lifetime.close();
  lifetime.close();
  for (const result of await settled) t.match(result, { status: "rejected", reason: { code: "ERR_T2_DISPOSED" } });
  await t.rejects(lifetime.run("c()", undefined, never), { code: "ERR_T2_DISPOSED", message: /c\(\)/ });
});

t.test("a finished job leaves no listener on the signal", async (t) => {
  const lifetime = new Lifetime(fakeAddon());
  let added = 0;
  const signal = {
    aborted: false,
    reason: undefined,
    addEventListener: () => added++,
    removeEventListener: () => added--,
  } as unknown as AbortSignal;
  await lifetime.run("work()", signal, async () => 1);
  t.equal(added, 0);
});
