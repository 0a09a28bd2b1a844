// The outside world as the commands see it: two streams, the terminal's width, and a signal that Ctrl-C fires. Tests put in another one.

/** Where a command writes. `out` is what was asked for; everything else goes to `err`. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Whether `out` and `err` are terminals, and how wide. */
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly columns: number;
  readonly signal: AbortSignal;
}

/** Values as JSON: maps become objects, typed arrays lists, and bytes that JSON cannot hold are null as JSON.stringify has it. */
export function toJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_, one: unknown) => {
      if (one instanceof Map) return Object.fromEntries(one);
      if (ArrayBuffer.isView(one) && !(one instanceof DataView)) return [...(one as Float32Array)];
      return one;
    },
    2,
  );
}

/**
 * Text from a model or a file as a terminal may show it: no control characters but newline and tab, so that no answer can move the
 * cursor, change colours or the title.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, "\ufffd");
}

/** 61234 → "1:01"; below a minute "12.3 s". */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
}

/** 1728192 → "1.7 M". */
export function amount(value: number): string {
  const units = ["", " K", " M", " G", " T"];
  let at = 0;
  let rest = value;
  while (Math.abs(rest) >= 1000 && at < units.length - 1) {
    rest /= 1000;
    at++;
  }
  return `${at === 0 ? rest : rest.toFixed(1)}${units[at]}`;
}

/** Rows as columns: the first one left-aligned, the others right-aligned. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths = (rows[0] ?? []).map((_, c) => Math.max(...rows.map((row) => [...(row[c] ?? "")].length)));
  const cell = (text: string, c: number) => (c === 0 ? text.padEnd(widths[c]!) : text.padStart(widths[c]!));
  return rows.map((row) => `${indent}${row.map(cell).join("  ").trimEnd()}\n`).join("");
}
