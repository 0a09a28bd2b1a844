// What `ptxas -v` prints, as data and as a table: registers, shared memory and spills of every kernel and architecture.

import { spawnSync } from "node:child_process";

/**
 * The kernels of one source's report: [{ source, kernel, name, architecture, registers, shared, stack, spillStores, spillLoads }]. `kernel` is the
 * plain name, `name` the whole one. Functions that were not inlined are listed too, with `kernel` null.
 */
export function kernelsIn(source, report) {
  const found = [];
  let architecture;
  let entry;
  let last;
  for (const line of report.split("\n")) {
    const compiling = /Compiling entry function '(\S+)' for 'sm_(\d+)\w?'/.exec(line);
    const properties = /Function properties for (\S+)/.exec(line);
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    const used = /Used (\d+) registers/.exec(line);
    if (compiling !== null) {
      [entry, architecture] = [compiling[1], Number(compiling[2])];
    } else if (properties !== null) {
      last = { source, mangled: properties[1], entry: properties[1] === entry, architecture };
      found.push(last);
    } else if (frame !== null && last !== undefined) {
      Object.assign(last, { stack: Number(frame[1]), spillStores: Number(frame[2]), spillLoads: Number(frame[3]) });
    } else if (used !== null) {
      const kernel = found.findLast((item) => item.mangled === entry && item.architecture === architecture);
      if (kernel !== undefined)
        Object.assign(kernel, { registers: Number(used[1]), shared: Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0) });
    }
  }
  const names = demangled(found.map(({ mangled }) => mangled));
  return found.map(({ mangled: _, entry: isKernel, ...rest }, i) => {
    const name = names[i]
      .replace(/^void /, "")
      .replaceAll("t2::cuda::", "")
      .replaceAll("(anonymous namespace)::", "");
    return { ...rest, kernel: isKernel ? /^[\w:]+/.exec(name)?.[0].split("::").at(-1) : null, name: name.replace(/\([^()]*\)$/, "") };
  });
}

function demangled(names) {
  const result = spawnSync("c++filt", { input: names.join("\n"), encoding: "utf8" });
  return result.status === 0 ? result.stdout.split("\n") : names;
}

/** One line per kernel and instance: the largest number over the architectures, spills where there are any. */
export function table(kernels, architectures) {
  const rows = [["source", "kernel", "registers", "shared", "spills"]];
  const byName = new Map();
  for (const item of kernels) byName.set(`${item.source} ${item.name}`, [...(byName.get(`${item.source} ${item.name}`) ?? []), item]);
  for (const items of byName.values()) {
    const [{ source, name }] = items;
    const registers = items.map((item) => item.registers ?? 0);
    const [least, most] = [Math.min(...registers), Math.max(...registers)];
    const spilled = items.filter((item) => item.spillStores + item.spillLoads > 0);
    const spills = spilled.map((item) => `sm_${item.architecture}: ${item.spillStores + item.spillLoads} bytes`).join(", ");
    rows.push([
      source,
      name,
      least === most ? `${most}` : `${least}–${most}`,
      String(Math.max(...items.map((i) => i.shared ?? 0))),
      spills,
    ]);
  }
  const widths = rows[0].map((_, column) => Math.min(90, Math.max(...rows.map((row) => row[column].length))));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, `${byName.size} kernels for ${architectures.length} architectures`].join("\n");
}
