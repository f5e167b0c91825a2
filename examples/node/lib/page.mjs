// Writes to the terminal: width, colour and the characters it can show.

const CODES = { bold: 1, dim: 2, green: 32, yellow: 33, cyan: 36, red: 31 };

/** Rows of at most `width` characters, broken at spaces; past `rowsMax` rows the text ends in the mark. */
export function wrap(text, width, rowsMax = Infinity, mark = " …") {
  const rows = [];
  let row = "";
  // Words with the spaces before them; those at a break are dropped.
  for (const [, space, word] of text.matchAll(/(\s*)(\S+)/g)) {
    if (row !== "" && row.length + space.length + word.length > width) {
      rows.push(row);
      row = word;
    } else {
      row = row === "" ? word : row + space + word;
    }
  }
  if (row !== "") rows.push(row);
  if (rows.length <= rowsMax) return rows;
  const kept = rows.slice(0, rowsMax);
  let last = kept.pop();
  while (last.length + mark.length > width && last.includes(" ")) last = last.slice(0, last.lastIndexOf(" "));
  return [...kept, last + mark];
}

export class Page {
  constructor(out = process.stdout, env = process.env) {
    this.out = out;
    this.width = Math.max(48, Math.min(100, Number(env.COLUMNS) || out.columns || 80));
    this.colour = out.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
    this.unicode = process.platform === "win32" ? Boolean(env.WT_SESSION || env.TERM_PROGRAM) : env.TERM !== "linux";
  }

  ink(text, ...styles) {
    if (!this.colour || styles.length === 0 || text === "") return text;
    return `\x1b[${styles.map((style) => CODES[style]).join(";")}m${text}\x1b[0m`;
  }

  glyph(pretty, plain) {
    return this.unicode ? pretty : plain;
  }

  bar(share, cells) {
    const full = Math.round(Math.max(0, Math.min(1, share)) * cells);
    return this.glyph("━", "=").repeat(full) + " ".repeat(cells - full);
  }

  /** One character whose height is the share, on a terminal that has it. */
  level(share) {
    return this.unicode ? "▁▂▃▄▅▆▇█"[Math.min(7, Math.floor(Math.max(0, share) * 8))] : "";
  }

  line(text = "") {
    this.out.write(`${text}\n`);
  }

  /** `left` and, at the right margin, `right` in dim; `left` wraps when it is long. */
  sides(left, right, indent, ...styles) {
    const room = this.width - indent - right.length - 2;
    const [first = "", ...rest] = wrap(left, room);
    const gap = " ".repeat(Math.max(1, this.width - indent - first.length - right.length));
    this.line(" ".repeat(indent) + this.ink(first, ...styles) + gap + this.ink(right, "dim"));
    for (const row of rest) this.line(" ".repeat(indent) + this.ink(row, ...styles));
  }

  wrapped(text, prefix, styles = [], rowsMax = Infinity) {
    for (const row of wrap(text, this.width - prefix.length, rowsMax, this.glyph(" …", " ..."))) {
      this.line(this.ink(prefix, "dim") + this.ink(row, ...styles));
    }
  }

  heading(title, note = "") {
    const tail = note !== "" && title.length + note.length + 7 <= this.width ? `  ${note}` : "";
    const rule = this.glyph("─", "-").repeat(Math.max(3, this.width - title.length - tail.length - 2));
    this.line();
    this.line(`${this.ink(title, "bold", "cyan")}  ${this.ink(rule + tail, "dim")}`);
    this.line();
  }
}
