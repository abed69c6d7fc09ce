// ── The picture ─────────────────────────────────────────────────────────────────────────────────
const LINES = 120;
const PER_LINE = 20;
const least = new Map();
for (const group of groups) {
  if (memory(group)) least.set(group.place, Math.min(memory(group), least.get(group.place) ?? Infinity));
}
const overLeast = (group) => memory(group) ? 100 * (memory(group) / least.get(group.place) - 1) : null;
const COSTS = {
  seconds_total: { title: "seconds of a cell in all", of: (row) => row.seconds_total, text: duration },
  // Most of it is libraries and data, which all have alike: what a strategy adds is over the least.
  memory: { title: "memory at its peak, over the least in its setting", of: overLeast, text: (more) => more ? `+${three.format(more)} %` : "least", linear: true },
  trainable_params: { title: "trained parameters", of: (row) => row.trainable_params, text: (n) => three.format(n) },
};
function ticks(low, high, most) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) found.push(n * step || 0);
  return found;
}
function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of high / low < 50 ? [1, 2, 5] : high / low < 5000 ? [1, 3] : [1]) found.push(factor * 10 ** power);
  }
  return found.filter((tick) => tick >= low && tick <= high);
}
// The range of what is shown, with a margin: of percentages no further than they go.
function range(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.05 * (high - low || Math.abs(high) || 1);
  return [low - margin, high + margin];
}
function metricRange(values) {
  const known = values.filter((value) => value !== null);
  const [low, high] = range(known.length ? known : [0, 1]);
  return isPercent(state.metric) ? [Math.max(0, low), Math.min(1, high)] : [Math.max(0, low), high];
}
const tickText = (value) => isPercent(state.metric) ? `${+(100 * value).toFixed(2)}` : three.format(value);

function drawPicture(shown) {
  const width = Math.max(280, picture.clientWidth || 900);
  const drawn = shown.filter((group) => group[state.metric] !== null);
  hideTip();
  const title = data.metrics.find(({ name }) => name === state.metric)?.title ?? state.metric;
  const made = COSTS[state.picture] ? scatter(drawn, width, title) : intervals(shown, width, title);
  fill(picture, made.drawing, tip, made.notes.map((note) => el("p", { class: "note" }, note)));
  picture.querySelector(".mark")?.setAttribute("tabindex", "0");
}
function markOf(group, ...parts) {
  const [label, value] = [nameOf("label", group), group.gap || `${valueText(group)}${isPercent(state.metric) ? " %" : ""}`];
  return svg("g", { class: "mark", "data-group": group.index, tabindex: -1, role: "button", "aria-label": `${label} on ${group.place}: ${value}` }, ...parts);
}
function intervals(shown, width, title) {
  const left = Math.min(190, 0.36 * width);
  const spread = state.metric === "accuracy" ? ["low", "high"] : [];
  const [low, high] = metricRange(shown.slice(0, LINES).flatMap((group) =>
    [group, ...group.cells].map((row) => row[state.metric]).concat(spread.map((end) => group[end]))));
  const x = (value) => left + (width - left - 14) * (value - low) / (high - low);
  const parts = [];
  let y = 26, place = null, lines = 0;
  for (const group of shown) {
    if (lines >= LINES) break;
    if (group.place !== place) {
      place = group.place;
      y += PER_LINE + 8;
      parts.push(svg("text", { x: 0, y: y + 1, class: "place" }, fitted(place, width, 7.5)));
      y += 4;
    }
    y += PER_LINE;
    lines += 1;
    parts.push(intervalLine(group, { x, y, left, width }));
  }
  const height = y + 34;
  const grid = ticks(low, high, width / 90).map((tick) => svg("g", { class: "tick" },
    svg("line", { x1: x(tick), x2: x(tick), y1: 22, y2: height - 22 }),
    svg("text", { x: x(tick), y: 14 }, tickText(tick)), svg("text", { x: x(tick), y: height - 8 }, tickText(tick))));
  const notes = [`${title}: a mark is the mean over seeds, small dots are the seeds${state.metric === "accuracy" ? ", and a line is the mean's 95 % interval" : ""}.`];
  if (lines < shown.length) notes.unshift(`Drawn: the first ${lines} of ${whole.format(shown.length)}. Choose a problem or shots to see others; the table has all.`);
  return { drawing: frame(width, height, title, [...grid, ...parts]), notes };
}
function intervalLine(group, { x, y, left, width }) {
  const look = data.looks[group.label];
  const value = group[state.metric];
  const parts = [
    svg("rect", { x: 0, y: y - PER_LINE / 2, width, height: PER_LINE, class: "hit" }),
    svg("text", { x: left - 10, y: y + 4, class: "label" }, fitted(nameOf("label", group), left - 12, 7)),
  ];
  if (value === null) {
    parts.push(svg("text", { x: left + 4, y: y + 4, class: "missing" }, group.gap || GAP));
    return markOf(group, ...parts);
  }
  if (state.metric === "accuracy" && group.low !== null) {
    parts.push(svg("line", { x1: x(Math.max(0, group.low)), x2: x(Math.min(1, group.high)), y1: y, y2: y, stroke: look.colour, "stroke-width": 2 }));
  }
  for (const cell of group.cells) {
    if (cell[state.metric] !== null) parts.push(svg("circle", { cx: x(cell[state.metric]), cy: y, r: 2.4, fill: look.colour, class: "seed" }));
  }
  return markOf(group, ...parts, mark(look, x(value), y, 5.5));
}
function scatter(shown, width, title) {
  const cost = COSTS[state.picture];
  const drawn = shown.filter((group) => cost.linear ? cost.of(group) !== null : cost.of(group) > 0);
  const height = Math.min(460, 120 + 0.6 * width), left = 46;
  const costs = drawn.length ? drawn.map(cost.of) : [1];
  const [cheap, dear] = cost.linear ? range(costs) : [Math.min(...costs) / 1.25, Math.max(...costs) * 1.25];
  const along = cost.linear ? (value) => (value - cheap) / (dear - cheap) : (value) => Math.log(value / cheap) / Math.log(dear / cheap);
  const x = (value) => left + (width - left - 14) * along(value);
  const [low, high] = metricRange(drawn.map((group) => group[state.metric]));
  const y = (value) => height - 40 - (height - 60) * (value - low) / (high - low);
  const grid = [
    ...ticks(low, high, 6).map((tick) => svg("g", { class: "tick level" },
      svg("line", { x1: left, x2: width - 8, y1: y(tick), y2: y(tick) }), svg("text", { x: left - 6, y: y(tick) + 4 }, tickText(tick)))),
    ...(cost.linear ? ticks(0, dear, width / 110) : logTicks(cheap, dear)).map((tick) => svg("g", { class: "tick" },
      svg("line", { x1: x(tick), x2: x(tick), y1: 20, y2: height - 40 }), svg("text", { x: x(tick), y: height - 24 }, cost.text(tick)))),
    svg("text", { x: width - 8, y: height - 6, class: "axis" }, cost.title),
    svg("text", { x: 0, y: 12 }, title),
  ];
  const marks = drawn.map((group) => {
    const [cx, cy] = [x(cost.of(group)), y(group[state.metric])];
    return markOf(group, svg("circle", { cx, cy, r: 11, class: "hit" }), mark(data.looks[group.label], cx, cy, 6));
  });
  const leftOut = shown.length - drawn.length;
  const took = state.picture === "memory" ? "the most that any of its cells took" : "the median of what a cell took";
  const notes = [`Each mark is one strategy in one setting: the mean over seeds, and ${took}.`];
  if (leftOut) notes.push(`Not shown: ${whole.format(leftOut)} whose cost is not known.`);
  return { drawing: frame(width, height, `${title} against ${cost.title}`, [...grid, ...marks]), notes };
}
const frame = (width, height, title, parts) => svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `${title}; arrow keys go from mark to mark` }, parts);
// As much of a text as there is room for, at so many pixels a letter.
const fitted = (text, room, each) => text.length * each <= room ? text : `${text.slice(0, Math.max(3, room / each - 1))}…`;

// ── Values at a mark ────────────────────────────────────────────────────────────────────────────
const tip = el("div", { class: "tip", hidden: true });
let pinned = null;
function showTip(group, part, pin) {
  if (pinned && !pin) return;
  fill(tip,
    el("b", {}, nameOf("label", group)), ` on ${group.place}`,
    el("div", {}, group.gap || `${valueText(group)} · ${data.metrics.find(({ name }) => name === state.metric)?.title}`),
    group.verdict ? el("div", {}, group.verdict) : null,
    el("div", { class: "note" }, `${duration(group.seconds_total)} · ${size(memory(group))}`),
    pin ? el("div", {}, "cells by seed: ", seeds(group)) : null);
  tip.hidden = false;
  const [box, at] = [picture.getBoundingClientRect(), (part.querySelector("polygon") ?? part).getBoundingClientRect()];
  tip.style.left = `${Math.max(0, Math.min(at.left - box.left, box.width - tip.offsetWidth))}px`;
  tip.style.top = `${at.bottom - box.top + 6}px`;
}
function hideTip() {
  tip.hidden = true;
  pinned = null;
}
function pin(part) {
  pinned = part;
  showTip(groups[part.dataset.group], part, true);
  body.querySelector(`[data-group="${part.dataset.group}"]`)?.scrollIntoView({ block: "nearest" });
}
picture.addEventListener("click", (event) => {
  const part = event.target.closest(".mark");
  if (part) pin(part);
  else if (!tip.contains(event.target)) hideTip();
});
picture.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const back = pinned;
    hideTip();
    back?.focus();
    return;
  }
  const part = event.target.closest(".mark");
  if (!part) return;
  const marks = [...picture.querySelectorAll(".mark")];
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -marks.length, End: marks.length };
  if (event.key in steps) {
    const next = marks[Math.max(0, Math.min(marks.length - 1, marks.indexOf(part) + steps[event.key]))];
    part.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    pinned = null;
    next.focus();
  } else if (event.key === "Enter" || event.key === " ") {
    pin(part);
    tip.querySelector("a")?.focus();
  } else return;
  event.preventDefault();
});
