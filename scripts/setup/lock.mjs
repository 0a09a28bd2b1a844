// One set-up at a time per checkout: two that build into the same folder would break each other's files.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { at, say } from "./shell.mjs";

const file = at(".cache", "setup.lock");

/** Runs `work` while holding the lock; a lock whose process is gone counts as free. */
export async function withLock(work) {
  mkdirSync(at(".cache"), { recursive: true });
  for (let told = false; !take(); told = true) {
    if (!told) say(`waiting for another set-up of this folder (process ${holder()})`);
    await sleep(300);
  }
  try {
    return work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take() {
  try {
    writeFileSync(file, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  const pid = holder();
  if (pid !== undefined && isAlive(pid)) return false;
  rmSync(file, { force: true });
  return false;
}

function holder() {
  try {
    return Number(readFileSync(file, "utf8")) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
