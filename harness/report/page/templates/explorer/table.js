// ── The table ───────────────────────────────────────────────────────────────────────────────────
const ROWS = 100;
const COLUMNS = [
  ...data.filters.map(({ name, title, values }) => ({ sort: name, text: true, head: () => title, of: (group) => nameOf(name, group), alone: values.length < 2 && name !== "label" })),
  { sort: "metric", head: () => data.metrics.find(({ name }) => name === state.metric)?.title ?? state.metric, of: (group) => group.gap || valueText(group) },
  { sort: "seconds", head: () => "seconds in all", of: (group) => duration(group.seconds_total) },
  { sort: "memory", head: () => "memory", of: (group) => size(memory(group)) },
  { sort: "verdict", text: true, head: () => "decision", of: (group) => group.verdict || GAP },
].filter((column) => !column.alone);
function valueText(group) {
  const text = score(state.metric, group[state.metric]);
  return state.metric === "accuracy" && group.low !== null
    ? `${text} (${percent(Math.max(0, group.low))} to ${percent(Math.min(1, group.high))})` : text;
}
const heads = COLUMNS.map((column) => el("th", { scope: "col", class: column.text ? "text" : null },
  el("button", { type: "button", onclick: () => change({ sort: column.sort, down: state.sort === column.sort && !state.down }) })));
const body = el("tbody");
listing.append(el("table", {}, el("caption", { class: "sr" }, "What is shown"),
  el("thead", {}, el("tr", {}, heads, el("th", { scope: "col", class: "text" }, "cells"))), body));
const more = el("button", { type: "button", onclick: () => list(everything, everything.length) });
listing.after(more);
let everything = [];

function drawTable(shown) {
  everything = shown;
  heads.forEach((head, place) => {
    const { sort, head: title } = COLUMNS[place];
    head.firstChild.textContent = title();
    if (state.sort === sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  list(shown, ROWS);
}
function list(shown, most) {
  fill(body, shown.slice(0, most).map((group) => el("tr", { "data-group": group.index },
    COLUMNS.map((column) => el("td", { class: column.text ? "text" : column.sort === "metric" && group.gap ? "gap" : null }, column.of(group))),
    el("td", { class: "text" }, seeds(group)))));
  more.hidden = shown.length <= most;
  more.textContent = `Show all ${whole.format(shown.length)}`;
}
function seeds(group) {
  return group.cells.flatMap((cell, place) => {
    const status = data.states[cell.status][0];
    return [place ? " " : "", cellLink(cell, status === "ok" ? String(cell.seed) : `${cell.seed} (${status})`)];
  });
}

// ── Picture and table point at each other ───────────────────────────────────────────────────────
function light(index) {
  for (const lit of view.querySelectorAll(".lit")) lit.classList.remove("lit");
  picture.classList.toggle("pointing", index !== undefined);
  for (const part of index === undefined ? [] : view.querySelectorAll(`[data-group="${index}"]`)) part.classList.add("lit");
}
const pointedAt = (event) => event.target.closest?.("[data-group]");
for (const kind of ["pointerover", "focusin"]) {
  view.addEventListener(kind, (event) => {
    const part = pointedAt(event);
    if (part) light(part.dataset.group);
    else if (!event.target.closest?.(".tip")) light();
    if (part && picture.contains(part)) showTip(groups[part.dataset.group], part, pinned?.dataset.group === part.dataset.group);
  });
}
view.addEventListener("pointerleave", () => { light(pinned?.dataset.group); if (!pinned) hideTip(); });
