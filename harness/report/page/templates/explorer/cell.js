// ── One cell ────────────────────────────────────────────────────────────────────────────────────
const page = document.getElementById("cell");
const told = new Map();
const asked = new Map();
globalThis.harnessCells = (text) => {
  for (const [key, record, more] of JSON.parse(text)) told.set(key, { record, ...more });
};
// A page that was opened from a disk may load a script from there, but fetch nothing.
function load(cell) {
  const file = `cells/${Math.floor(cell.index / data.each) + 1}.js`;
  if (!asked.has(file)) {
    asked.set(file, new Promise((done) => {
      document.head.append(el("script", { src: file, onload: done, onerror: done }));
    }));
  }
  return asked.get(file).then(() => ({ file, ...told.get(cell.key) }));
}

function showCell(key) {
  const cell = byKey.get(key);
  document.body.classList.add("one-cell");
  page.hidden = false;
  const back = el("p", { class: "back" }, el("a", { href: address() }, "← All results"));
  const title = el("h2", { id: "cell-title", tabindex: -1 });
  if (!cell) {
    title.textContent = "No such cell";
    fill(page, back, title, el("p", {}, `This report has no cell ${key}: the address may be of an older one.`));
  } else {
    const group = groups[cell.group], [status, meaning, remedy] = data.states[cell.status];
    title.textContent = `${nameOf("label", group)} on ${group.place}, seed ${cell.seed}`;
    const rest = el("div", { "aria-live": "polite" }, el("p", { class: "note" }, "Loading the rest…"));
    fill(page, back, title,
      el("p", {}, el("b", {}, status), status === "ok" ? "" : `: ${meaning}. ${remedy}`, ` · ${nameOf("backbone", group)} · `, el("code", {}, cell.key)),
      el("p", {}, "Seeds: ", group.cells.flatMap((other, place) => [place ? " · " : "", other === cell ? el("b", {}, String(other.seed)) : cellLink(other, String(other.seed))])),
      numbers(cell), setting(settings.get(key)), curve(curves.get(key), []), rest);
    load(cell).then((found) => {
      if (rest.isConnected) fillCell(cell, found, rest);
    });
  }
  scrollTo(0, 0);
  title.focus();
}
function numbers(cell) {
  const pairs = [
    ...data.metrics.map(({ name, title }) => [title, score(name, cell[name])]),
    ["seconds in all", duration(cell.seconds_total)], ["of them training", duration(cell.seconds_fit)],
    ["memory", size(memory(cell))], ["trained parameters", cell.trainable_params === null ? GAP : whole.format(cell.trainable_params)],
  ];
  return definitions(pairs.filter(([, value]) => value !== GAP));
}
const setting = (chosen) => chosen && Object.keys(chosen).length
  ? el("div", {}, el("h3", {}, "Settings that validation chose"), definitions(Object.entries(chosen).map(([name, value]) => [name, plain(value)]))) : null;
function curve(points, others) {
  const lines = [...others, ...(points?.length ? [points] : [])].filter((line) => line.length);
  if (!lines.length) return el("div", { class: "curve" });
  const width = Math.min(640, Math.max(280, page.clientWidth)), height = 240, left = 40;
  const all = lines.flat();
  const [low, high] = range(all.map(([, value]) => value)).map((value) => Math.max(0, Math.min(1, value)));
  const last = Math.max(...all.map(([step]) => step));
  const x = (step) => left + (width - left - 12) * step / last;
  const y = (value) => height - 30 - (height - 46) * (value - low) / (high - low || 1);
  const path = (line) => line.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Validation accuracy by step" },
    ticks(low, high, 5).map((tick) => svg("g", { class: "tick level" }, svg("line", { x1: left, x2: width - 8, y1: y(tick), y2: y(tick) }), svg("text", { x: left - 6, y: y(tick) + 4 }, `${+(100 * tick).toFixed(1)}`))),
    ticks(0, last, 5).map((tick) => svg("g", { class: "tick" }, svg("text", { x: x(tick), y: height - 12 }, whole.format(tick)))),
    others.map((line) => svg("polyline", { points: path(line), class: "other" })),
    points?.length ? svg("polyline", { points: path(points), class: "line" }) : null,
    (points ?? []).map(([step, value]) => svg("circle", { cx: x(step), cy: y(value), r: 4, class: "dot" }, svg("title", {}, `step ${step}: ${percent(value)} %`))));
  return el("div", { class: "curve" }, el("h3", {}, "Learning curve"), drawing,
    el("p", { class: "note" }, `Validation accuracy (%) by step of the trial that was chosen${others.length ? "; the other trials are thin" : ""}.`));
}

function fillCell(cell, { file, record, log, predicted, errors, further }, rest) {
  if (record === undefined) {
    fill(rest, el("p", { class: "warning" }, `Trials, predictions, log and provenance of this cell are in ${file} beside this page, which is not there or is of another report. Copy the whole folder report/ to have them.`));
    return;
  }
  const trials = record?.trials ?? [], chosen = trials.find(({ number }) => number === record.selected);
  if (chosen && !("information_val" in record.metrics)) {
    page.querySelector(".curve").replaceWith(curve(chosen.curve, trials.filter((trial) => trial !== chosen).map((trial) => trial.curve)));
  }
  if (chosen && !settings.has(cell.key)) rest.before(setting(chosen.settings) ?? "");
  const parts = [
    record?.reason ? [el("h3", {}, "Why it ended so"), el("pre", {}, record.reason)] : null,
    record?.traceback ? el("details", {}, el("summary", {}, "Traceback"), el("pre", {}, record.traceback)) : null,
    trials.length ? trialsOf(record) : null,
    predicted ? predictionsOf(predicted, errors) : null,
    errorsOf(cell, errors),
    ...Object.entries(further ?? {}).map(([test, mine]) => errorsUnder(`What went wrong on ${test}`, mine)),
    log ? [el("h3", {}, "Log"), el("p", { class: "note" }, "The end of ", el("a", { href: `../${encodeURI(log.name)}` }, log.name), "."), el("pre", { class: "log", tabindex: 0 }, log.tail)] : null,
    record ? [
      el("h3", {}, "Provenance"), definitions(flat(record.provenance)),
      el("details", {}, el("summary", {}, "Everything that was in force"), definitions(flat(record.config))),
      el("details", {}, el("summary", {}, "Phases, costs and all metrics"), definitions(flat({ seconds: record.seconds, metrics: record.metrics, flops: record.flops, throughput: record.throughput, split: record.split_hash, leaks: record.leaks, notes: record.notes }))),
    ] : el("p", { class: "note" }, "This cell has no record that counts."),
  ];
  fill(rest, ...parts);
}
function trialsOf(record) {
  const names = [...new Set(record.trials.flatMap((trial) => Object.keys(trial.settings)))];
  const informed = "information_val" in record.metrics;
  const rows = record.trials.map((trial) => [
    trial.number + (trial.number === record.selected ? " (chosen)" : ""), trial.state,
    trial.value === null ? GAP : informed ? plain(trial.value) : percent(trial.value), plain(trial.loss), plain(trial.seconds),
    ...names.map((name) => plain(trial.settings[name])), trial.reason ?? "",
  ]);
  return [el("h3", {}, "Trials"), table("Trials", ["trial", "state", informed ? "information (nats)" : "validation (%)", "validation loss", "seconds", ...names, "reason"], rows)];
}
const MOST_CLASSES = 20;
function predictionsOf({ why, classes, examples, right, pairs }, errors) {
  const title = el("h3", {}, "Predictions");
  if (why) return [title, el("p", { class: "note" }, `Not told: ${why}.`)];
  const byClass = classes.map((name, place) => [name, whole.format(examples[place]), examples[place] ? percent(right[place] / examples[place]) : GAP]);
  if (classes.length > MOST_CLASSES) {
    return [title,
      table("Most frequent mistakes", ["true class", "taken for", "examples"], pairs.slice(0, 20).map(([a, b, n]) => [classes[a], classes[b], String(n)])),
      el("details", {}, el("summary", {}, `Recall of ${classes.length} classes`), table("Recall by class", ["class", "examples", "recall (%)"], byClass))];
  }
  const kept = el("div", { role: "status" });
  const matrix = matrixOf(classes, examples, right, pairs, errors ?? [], kept);
  return [title,
    el("p", { class: "note" }, `Rows are the true classes; numbers are percent of the row.${errors?.length ? " Press a mistake to see examples of it that were kept." : ""}`),
    el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Confusions" }, matrix), kept];
}
function matrixOf(classes, examples, right, pairs, errors, kept) {
  const counts = new Map(pairs.map(([a, b, n]) => [`${a} ${b}`, n]));
  right.forEach((n, place) => counts.set(`${place} ${place}`, n));
  const field = (a, b) => {
    const n = counts.get(`${a} ${b}`) ?? 0;
    if (!n) return el("td");
    const text = (100 * n / examples[a]).toFixed(0);
    const mine = errors.filter((error) => error.true === classes[a] && error.taken === classes[b]);
    const press = (event) => {
      for (const other of event.target.closest("table").querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
      event.target.setAttribute("aria-pressed", "true");
      fill(kept, el("p", {}, `${mine.length} of ${n}: ${classes[a]} taken for ${classes[b]}.`), gallery(mine));
    };
    const made = el("td", { class: a === b ? "right" : null }, mine.length
      ? el("button", { type: "button", "aria-pressed": "false", "aria-label": `${classes[a]} taken for ${classes[b]}: ${text} %`, onclick: press }, text) : text);
    made.style.setProperty("--s", Math.sqrt(n / examples[a]).toFixed(2));
    return made;
  };
  return el("table", { class: "matrix" },
    el("caption", { class: "sr" }, "Confusions: rows are true classes, columns what they were taken for"),
    el("thead", {}, el("tr", {}, el("td"), classes.map((name) => el("th", { scope: "col", class: name.length > 4 ? "long" : null }, name)))),
    el("tbody", {}, classes.map((name, a) => el("tr", {}, el("th", { scope: "row" }, name), classes.map((_, b) => field(a, b))))));
}
function errorsOf(cell, errors) {
  if (!errors) return data.states[cell.status][0] === "ok" ? el("p", { class: "note" }, "No misclassified examples were kept of this cell: it was run by a version that kept none, or their file is gone.") : null;
  return errorsUnder("What went wrong", errors);
}
function errorsUnder(title, errors) {
  return [el("h3", {}, title),
    el("p", {}, errors.length ? "The errors it was surest of, and some of its most frequent ones, the surest first." : "It made no error on the test examples."),
    gallery(errors)];
}
