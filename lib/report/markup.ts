// HTML and SVG as trees that cannot forget to escape: a string is always text, and only what `element` made is markup.

/** A piece of finished markup. */
export interface Markup {
  readonly html: string;
}

export type Child = Markup | string | number | null | undefined | false | readonly Child[];

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** What no HTML or SVG document may hold, not even escaped: controls but tab and newline, and lone surrogates. */
const forbidden = /[^\P{Cc}\t\n]|\p{Cs}|[\ufffe\uffff]/gu;

/** Any text as it may stand in a document, in an element or a quoted attribute. */
export function escapeText(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(forbidden, "\ufffd")
    .replace(/[&<>"']/g, (character) => entities[character]!);
}

/** Elements without an end tag, in HTML. */
const empty = new Set(["meta", "br", "hr", "circle", "line", "path", "rect"]);

function render(child: Child): string {
  if (child === null || child === undefined || child === false) return "";
  if (typeof child === "string") return escapeText(child);
  if (typeof child === "number") return String(child);
  if (isList(child)) return child.map(render).join("");
  return child.html;
}

function isList(child: Child): child is readonly Child[] {
  return Array.isArray(child);
}

/**
 * One element. Attributes that are null or undefined are left out; numbers are written with at most two decimals.
 *
 * @example element("p", { class: "note" }, "5 < 7").html // '<p class="note">5 &lt; 7</p>'
 */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | null | undefined>> = {},
  ...children: Child[]
): Markup {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? Math.round(value * 100) / 100 : escapeText(value!)}"`)
    .join("");
  if (empty.has(name) && children.length === 0)
    return { html: `<${name}${written}${name === "meta" || name === "br" || name === "hr" ? "" : "/"}>` };
  return { html: `<${name}${written}>${render(children)}</${name}>` };
}

/** Pieces one after another. */
export function group(...children: Child[]): Markup {
  return { html: render(children) };
}
