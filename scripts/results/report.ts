// The tables of a study as Markdown.
import { type Count, cell, pValue, rate, sparkline, sum, table } from "./cells.js";
import type { Outcome, SeedResult, StudyPlan } from "./study.js";

/** The count over the first `n` items. */
function head(o: Outcome, n: number): Count {
  const items = o.items.slice(0, n);
  return { right: [...items].filter((x) => x === "1").length, total: items.length };
}

function perSeed(results: readonly SeedResult[], pick: (r: SeedResult) => Count | undefined): string {
  const counts = results.map(pick).filter((c): c is Count => c !== undefined);
  if (counts.length === 0) return "–";
  if (counts.length === 1) return cell(counts[0]!);
  return `${cell(sum(counts))}; ${counts.map(rate).join(" ")}`;
}

export function studyTables(plan: StudyPlan, results: readonly SeedResult[]): string {
  const names = Object.keys(plan.tasks);
  const seen = names;
  const unseen = names.map((n) => `unseen ${n}`);
  const out: string[] = [];
  const first = results[0]!;
  const base = (task: string) => first.scores.base![task]!;
  const n = plan.dispatchItems; // the strategies are compared with the others on these items
  const several = results.length > 1 ? " Sums over the seeds with Wilson 95 % intervals, then the rate of each seed." : "";

  out.push("## Each expert on its own task", "", `Greedy, held-out test items.${several}`, "");
  out.push(
    table(
      ["task", "base", "expert", "McNemar against base, per seed"],
      seen.map((n) => [n, cell(base(n)), perSeed(results, (r) => r.scores[n]![n]), results.map((r) => pValue(r.against[n]!)).join(", ")]),
    ),
  );

  out.push(
    "",
    "## Expert × task",
    "",
    `Right answers of every expert on every task${results.length > 1 ? `, summed over the ${results.length} seeds` : ""}.`,
    "",
  );
  const all = [...seen, ...unseen];
  out.push(
    table(
      ["adapter", ...all],
      ["base", ...names, "uniform mix"].map((a) => [
        a,
        ...all.map((t) => {
          const c = a === "base" ? base(t) : sum(results.map((r) => r.scores[a]![t]!));
          return `${rate(c)} (${c.right}/${c.total})`;
        }),
      ]),
    ),
  );

  out.push(
    "",
    "## Unseen tasks: what adaptation gives",
    "",
    `No expert was trained on these. Few-shot draws its ${plan.fewShot?.shots ?? 10} shots from the relative's own pool, which no test item comes from. The first ${n} test items.`,
    "",
  );
  const best = (r: SeedResult, t: string) =>
    names.map((k) => ({ k, c: head(r.scores[k]![t]!, n) })).sort((a, b) => b.c.right - a.c.right)[0]!;
  out.push(
    table(
      ["", ...unseen, "all"],
      [
        ["base", (_: SeedResult, t: string) => head(base(t), n)],
        ["uniform mix", (r: SeedResult, t: string) => head(r.scores["uniform mix"]![t]!, n)],
        ["best single expert (chosen on the test set: a ceiling)", (r: SeedResult, t: string) => best(r, t).c],
        ["A: prompt", (r: SeedResult, t: string) => r.strategies["A prompt"]![t]!],
        ["B: classification expert", (r: SeedResult, t: string) => r.strategies["B classifier"]![t]!],
        [`C: few-shot CEM, ${plan.fewShot?.shots ?? 10} shots`, (r: SeedResult, t: string) => head(r.strategies["C few-shot"]![t]!, n)],
      ].map(([label, pick]) => {
        const f = pick as (r: SeedResult, t: string) => Count;
        return [
          label as string,
          ...unseen.map((t) => (label === "base" ? cell(f(first, t)) : perSeed(results, (r) => f(r, t)))),
          cell(label === "base" ? sum(unseen.map((t) => f(first, t))) : sum(results.flatMap((r) => unseen.map((t) => f(r, t))))),
        ];
      }),
    ),
  );

  out.push(
    "",
    "## A mixed test set over the train tasks",
    "",
    `The first ${n} test items of each train task together: every prompt gets its own first pass.`,
    "",
  );
  const mixed = (f: (r: SeedResult, t: string) => Count) => cell(sum(results.flatMap((r) => seen.map((t) => f(r, t)))));
  const single = names
    .map((name) => ({ name, c: sum(results.flatMap((r) => seen.map((t) => head(r.scores[name]![t]!, n)))) }))
    .sort((a, b) => b.c.right - a.c.right)[0]!;
  out.push(
    table(
      ["", "right", "first pass", "an answer"],
      [
        ["base", cell(sum(seen.map((t) => head(base(t), n)))), "", ""],
        ["uniform mix", mixed((r, t) => head(r.scores["uniform mix"]![t]!, n)), "", ""],
        [`best single expert (${single.name})`, cell(single.c), "", ""],
        ...["A prompt", "B classifier"].map((s) => [
          s,
          mixed((r, t) => r.strategies[s]![t]!),
          `${(results.reduce((x, r) => x + r.cost[s]!.firstPass, 0) / results.length).toFixed(1)} ms`,
          `${(results.reduce((x, r) => x + r.cost[s]!.answer, 0) / results.length).toFixed(1)} ms`,
        ]),
        ["the right expert for every item (an oracle)", mixed((r, t) => head(r.scores[t]![t]!, n)), "", ""],
      ],
    ),
  );
  out.push(
    "",
    "The first pass is one prefill over the prompt and all labels, timed one prompt at a time; an answer is timed alone, greedy, with an expert merged or factored as the planner chooses.",
  );

  out.push(
    "",
    "## Dispatch",
    "",
    `Which expert the first ${plan.dispatchItems} test items of each task were sent to${results.length > 1 ? `, summed over the seeds` : ""}. "base": the margin was too small.`,
  );
  for (const s of ["A prompt", "B classifier"]) {
    out.push("", `### ${s}`, "");
    out.push(
      table(
        ["task", ...names, "base"],
        all.map((t) => [t, ...[...names, "base"].map((n) => String(results.reduce((x, r) => x + (r.dispatch[s]![t]![n] ?? 0), 0)))]),
      ),
    );
  }

  out.push("", "## Few-shot weights", "", "What CEM found (mean of its final distribution), per seed, and how long it took.", "");
  out.push(
    table(
      ["unseen task", ...names, "seconds"],
      results.flatMap((r) =>
        names.map((n) => [
          `${n}${results.length > 1 ? ` (seed ${r.seed})` : ""}`,
          ...names.map((k) => (r.alphas[n]![k] ?? 0).toFixed(2)),
          (r.alphas[n]!.seconds ?? 0).toFixed(1),
        ]),
      ),
    ),
  );

  out.push("", "## Training", "");
  const trained = [...names, "classifier"];
  out.push(
    table(
      [
        "expert",
        "seed",
        "trained values",
        "steps (best)",
        "completion tokens",
        "rollout s",
        "gradient s",
        "validation s",
        "sampled success per step",
        "validation",
      ],
      results.flatMap((r) =>
        trained.map((n) => {
          const t = r.trained[n]!;
          const v = t.curve.filter((c) => c.validation).map((c) => c.validation!);
          return [
            n,
            String(r.seed),
            t.values.toLocaleString("en"),
            `${t.steps} (${t.bestStep})`,
            t.completionTokens.toLocaleString("en"),
            t.seconds.rollout.toFixed(1),
            t.seconds.gradient.toFixed(1),
            t.seconds.validation.toFixed(1),
            sparkline(t.curve.filter((c) => c.sampled).map((c) => c.sampled!.right / c.sampled!.total)),
            `${v[0]?.right}/${v[0]?.total} → ${Math.max(...v.map((x) => x.right))}/${v[0]?.total} ${sparkline(v.map((x) => x.right / x.total))}`,
          ];
        }),
      ),
    ),
  );

  const with_ = results.filter((r) => Object.keys(r.presets).length > 0);
  if (with_.length > 0) {
    out.push(
      "",
      "## Presets on the same budget",
      "",
      "Every preset sees the same number of completions as `recommended` did above; its other settings are its own. Test items of the task.",
      "",
    );
    out.push(
      table(
        ["preset", ...names],
        [
          ["base", ...names.map((n) => cell(base(n)))],
          ["recommended", ...names.map((n) => perSeed(with_, (r) => r.scores[n]![n]))],
          ...plan.presets.map((p) => [p.name, ...names.map((n) => perSeed(with_, (r) => r.presets[p.name]![n]))]),
        ],
      ),
    );
  }
  return out.join("\n");
}
