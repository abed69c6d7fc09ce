// ── What everything here is made of ─────────────────────────────────────────────────────────────
// Names, reasons and logs come from users: they are put into the page as text, and never as HTML.
function element(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}
const el = (name, attributes = {}, ...children) =>
  element(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  element(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

const fill = (parent, ...children) =>
  parent.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));

const GAP = "–";
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const percent = (fraction) => (100 * fraction).toFixed(1);
const isPercent = (metric) => metric !== "log_loss";
const score = (metric, value) =>
  value === null ? GAP : isPercent(metric) ? percent(value) : three.format(value);
function duration(seconds) {
  if (seconds === null) return GAP;
  if (seconds < 1) return `${three.format(1000 * seconds)} ms`;
  if (seconds < 59.5) return `${three.format(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
function size(bytes) {
  if (bytes === null) return GAP;
  const power = Math.min(3, Math.max(0, Math.floor(Math.log10(bytes || 1) / 3)));
  return `${three.format(bytes / 1000 ** power)} ${["B", "kB", "MB", "GB"][power]}`;
}
// A setting or a fact on one line.
function plain(value) {
  if (value === null || value === undefined) return GAP;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(+value.toPrecision(3));
  return typeof value === "string" ? value : JSON.stringify(value);
}
function flat(tree, prefix = "") {
  return Object.entries(tree ?? {}).flatMap(([name, value]) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? flat(value, `${prefix}${name}.`)
      : [[prefix + name, plain(value)]]);
}
function definitions(pairs) {
  return el("dl", { class: "facts" }, pairs.map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
function table(title, heads, rows) {
  const isText = heads.map((_, place) => rows.some((row) => !/^[\d–−-]/.test(row[place])));
  const of = (row, tag, extra) => el("tr", {}, row.map((value, place) =>
    el(tag, { ...extra, class: isText[place] ? "text" : null }, value)));
  const made = el("table", { class: "sortable" }, el("caption", { class: "sr" }, title),
    el("thead", {}, of(heads, "th", { scope: "col" })), el("tbody", {}, rows.map((row) => of(row, "td"))));
  makeSortable(made);
  return el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title }, made);
}

// ── The data ────────────────────────────────────────────────────────────────────────────────────
const data = JSON.parse(document.getElementById("explorer-data").textContent);
const columns = (of) => Object.keys(of);
const rowsOf = (table, first) => table[first].map((_, index) =>
  Object.assign({ index }, ...columns(table).map((name) => ({ [name]: table[name][index] }))));
const groups = rowsOf(data.groups, "place");
const cells = rowsOf(data.cells, "key");
const byKey = new Map(cells.map((cell) => [cell.key, cell]));
const curves = new Map(Object.entries(data.curves));
const settings = new Map(Object.entries(data.settings));
const named = new Map(data.filters.map((filter) => [filter.name, filter]));
const nameOf = (filter, group) => named.get(filter).values[group[filter]];
for (const group of groups) group.cells = [];
for (const cell of cells) groups[cell.group].cells.push(cell);
const memory = (row) => row.peak_device_bytes ?? row.peak_host_bytes;
const cellLink = (cell, text) =>
  el("a", { href: `#cell=${encodeURIComponent(cell.key)}` }, text);
function mark(look, x, y, radius) {
  const points = look.points.map(([right, up]) =>
    `${(x + 2 * radius * right).toFixed(1)},${(y - 2 * radius * up).toFixed(1)}`).join(" ");
  return svg("polygon", { points, fill: look.colour, stroke: "var(--paper)" });
}
