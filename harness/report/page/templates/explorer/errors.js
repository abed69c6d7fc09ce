// ── Errors, with what the model was shown ───────────────────────────────────────────────────────
const PICTURE = /^image\/(png|jpeg);base64,[A-Za-z0-9+/=]+$/;
function errorItem(error) {
  const told = `${error.true} taken for ${error.taken}`;
  const shown = PICTURE.test(error.image ?? "") ? el("img", { src: `data:${error.image}`, alt: told })
    : error.text !== undefined ? el("blockquote", {}, error.text)
    : null;
  return el("li", { class: error.text !== undefined ? "words" : null }, shown,
    el("span", {}, el("b", {}, error.true), " taken for ", el("b", {}, error.taken)),
    el("span", { class: "muted" }, `${percent(error.confidence)} % sure · ${error.name ?? `example ${error.id}`}`));
}
const gallery = (errors) => el("ul", { class: "errors" }, errors.map(errorItem));

const wrong = document.getElementById("wrong");
if (data.recommended.length) {
  const placed = data.recommended.map(({ key, group, errors }) => ({ cell: byKey.get(key), group: groups[group], errors }));
  const shown = el("div", { role: "status" });
  const select = el("select", { onchange: () => show() }, placed.map(({ group }, place) =>
    el("option", { value: place }, group.place)));
  const show = () => {
    const { cell, group, errors } = placed[select.value];
    const label = nameOf("label", group), { place } = group;
    fill(shown,
      el("p", {}, errors.length ? `${place}: ${label}, seed ${cell.seed}, the surest first. ` : `${place}: ${label}, seed ${cell.seed}, made no error. `, cellLink(cell, "More of this cell")),
      gallery(errors));
  };
  wrong.append(el("form", { class: "controls", onsubmit: (event) => event.preventDefault() }, el("label", {}, "setting", select)), shown);
  wrong.hidden = false;
  show();
}
