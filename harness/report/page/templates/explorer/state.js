// ── What is shown, kept in the address ──────────────────────────────────────────────────────────
// More results than these are looked at a problem at a time, unless "all" is chosen.
const AT_FIRST = 60;
const view = document.getElementById("explorer-view");
const START = { hide: [], metric: data.metrics[0]?.name ?? "accuracy", picture: "intervals", sort: "", down: false };
for (const { name } of data.filters) if (name !== "label") START[name] = "";
const narrowed = groups.length > AT_FIRST ? data.filters.filter(({ name, values }) => ["problem", "test"].includes(name) && values.length > 1) : [];
for (const { name, values } of narrowed) START[name] = values[0];
let state = { ...START };

function address() {
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (name === "hide") value.forEach((label) => told.append(name, label));
    else if (value !== START[name]) told.set(name, value);
  }
  const text = told.toString();
  return text ? `#explorer?${text}` : "#explorer";
}
function fromAddress(text) {
  const told = new URLSearchParams(text);
  state = { ...START };
  for (const name of Object.keys(START)) {
    if (name === "hide") state.hide = told.getAll(name);
    else if (told.has(name)) state[name] = name === "down" ? told.get(name) === "true" : told.get(name);
  }
  // A link may be older than the report.
  if (!data.metrics.some((metric) => metric.name === state.metric)) state.metric = START.metric;
}
function change(changes) {
  state = { ...state, ...changes };
  history.replaceState(null, "", address());
  draw();
}
const isShown = (group) => !state.hide.includes(nameOf("label", group)) && data.filters.every(
  ({ name }) => name === "label" || !state[name] || nameOf(name, group) === state[name]);
const SORTS = {
  metric: (group) => group[state.metric],
  seconds: (group) => group.seconds_total,
  memory,
  verdict: (group) => group.verdict || group.gap,
};
function sorted(shown) {
  if (!state.sort) return shown;
  const of = SORTS[state.sort] ?? ((group) => group[state.sort] ?? null);
  return [...shown].sort((one, other) => {
    const [a, b] = [of(one), of(other)];
    // Whichever way numbers go, gaps come last.
    if (a === null || b === null) return (a === null) - (b === null);
    return (a < b ? -1 : a > b ? 1 : 0) * (state.down ? -1 : 1);
  });
}

// ── Its controls ────────────────────────────────────────────────────────────────────────────────
function choice(title, name, values) {
  const select = el("select", { name, onchange: () => change({ [name]: select.value }) },
    values.map(([value, text]) => el("option", { value }, text)));
  return el("label", {}, title, select);
}
const controls = el("form", { class: "controls", "aria-label": "What is shown", onsubmit: (event) => event.preventDefault() },
  data.filters.filter(({ name, values }) => name !== "label" && values.length > 1).map(({ name, title, values }) =>
    choice(title, name, [["", "all"], ...values.map((value) => [value, value])])),
  choice("metric", "metric", data.metrics.map(({ name, title }) => [name, title])),
  choice("picture", "picture", [["intervals", "means and intervals"], ["seconds_total", "against time"], ["memory", "against memory"], ["trainable_params", "against trained parameters"]]),
  el("button", { type: "button", onclick: () => change({ ...START }) }, "Reset"));
const legend = el("ul", { class: "toggles", "aria-label": "Strategies" }, named.get("label").values.map((label, place) =>
  el("li", {}, el("button", {
    type: "button",
    "data-label": label,
    onclick: () => change({ hide: state.hide.includes(label) ? state.hide.filter((one) => one !== label) : [...state.hide, label] }),
  }, svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, mark(data.looks[place], 8, 8, 7)), label))));
const count = el("p", { class: "note", role: "status" });
const picture = el("div", { class: "picture" });
const listing = el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "What is shown, as a table" });
view.append(controls, legend, count, picture, listing);

function draw() {
  const shown = groups.filter(isShown);
  for (const select of controls.querySelectorAll("select")) select.value = state[select.name];
  for (const button of legend.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(!state.hide.includes(button.dataset.label)));
  }
  const held = shown.reduce((sum, group) => sum + group.cells.length, 0);
  count.textContent = `${whole.format(shown.length)} of ${whole.format(groups.length)} results, from ${whole.format(held)} cells.${narrowed.some(({ name }) => state[name] === START[name]) ? " Choose “all” to see the others." : ""}`;
  drawPicture(shown);
  drawTable(sorted(shown));
}
