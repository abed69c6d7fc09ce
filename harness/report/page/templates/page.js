// Sorts a table by the column whose header is pressed. Without it the page is whole, in suite order.
const factors = { k: 1e3, M: 1e6, G: 1e9 };
function key(cell) {
  const text = cell.textContent.trim().replaceAll(",", "").replace("−", "-");
  const number = text.match(/^(?:≥ )?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?: ([kMG])?B| ±.*| to .*| †| shots?)?$/);
  return number ? parseFloat(number[1]) * (factors[number[2]] ?? 1) : text;
}
function compare(a, b, down) {
  // Whichever way numbers go, words (gaps, and "all data") come after them.
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
}
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[column]), row]);
      rows.sort(([a], [b]) => compare(a, b, down));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
document.querySelectorAll("table.sortable").forEach(makeSortable);
// A link into a chapter that is folded opens it.
function unfold() {
  for (let part = document.getElementById(location.hash.slice(1)); part; part = part.parentElement) {
    if (part.tagName === "DETAILS") part.open = true;
  }
}
window.addEventListener("hashchange", unfold);
unfold();
// On paper nothing can be unfolded: what is folded is printed, but for the longest tables.
const folded = () => document.querySelectorAll("details:not(.long)");
window.addEventListener("beforeprint", () => folded().forEach((part) => {
  part.dataset.was = part.open;
  part.open = true;
}));
window.addEventListener("afterprint", () => folded().forEach((part) => {
  part.open = part.dataset.was === "true";
}));
