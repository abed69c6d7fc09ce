// ── The address decides what is shown ───────────────────────────────────────────────────────────
let left = null, drawn = false;
function route() {
  const { hash } = location;
  if (hash.startsWith("#cell=")) {
    if (page.hidden) left = { top: scrollY, hash };
    let key = hash.slice("#cell=".length);
    try { key = decodeURIComponent(key); } catch { /* then it is no cell's */ }
    showCell(key);
    return;
  }
  const back = !page.hidden;
  page.hidden = true;
  document.body.classList.remove("one-cell");
  const asked = hash.startsWith("#explorer?");
  if (asked) fromAddress(hash.slice("#explorer?".length));
  if (asked || !drawn) draw();
  drawn = true;
  if (back) {
    scrollTo({ top: left.top, behavior: "instant" });
    [...body.querySelectorAll("a")].find((link) => link.hash === left.hash)?.focus({ preventScroll: true });
  } else if (asked) {
    document.getElementById("explorer").scrollIntoView();
  }
}
addEventListener("hashchange", route);
let wide = picture.clientWidth;
new ResizeObserver(() => {
  if (picture.clientWidth && picture.clientWidth !== wide) {
    wide = picture.clientWidth;
    draw();
  }
}).observe(picture);
route();
