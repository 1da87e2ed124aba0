"use strict";
// One step at a time is highlighted, in all charts and tables.
const specs = JSON.parse(document.getElementById("charts").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const views = [];
let highlighted = "";

function highlight(step) {
  if (step === highlighted) return;
  highlighted = step;
  for (const view of views) view.signal("step", step).runAsync();
  for (const part of all("[data-step]")) part.classList.toggle("highlighted", part.dataset.step === step);
}

function open(step) {
  const part = document.getElementById("step-" + step);
  if (!part) return;
  document.getElementById("vg-tooltip-element")?.classList.remove("visible");
  part.open = true;
  part.scrollIntoView({block: "start"});
  part.querySelector("summary").focus({preventScroll: true});
}

// A chart is one Tab stop; arrow keys move between its marks and show the same tooltip as the pointer.
function keys(place) {
  const marks = () => all('path[role="graphics-symbol"]', place);
  const point = (mark, ...kinds) => {
    const box = mark.getBoundingClientRect();
    const at = {bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
    for (const kind of kinds) mark.dispatchEvent(new PointerEvent(kind, at));
  };
  marks().forEach((mark, i) => mark.setAttribute("tabindex", i ? "-1" : "0"));
  place.addEventListener("focusin", event => point(event.target, "pointerover", "pointermove"));
  place.addEventListener("focusout", event => { point(event.target, "pointerout"); highlight(""); });
  place.addEventListener("keydown", event => {
    const list = marks(), here = list.indexOf(document.activeElement);
    const move = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
    if (here < 0) return;
    if (event.key === "Enter") { event.preventDefault(); open(highlighted); }
    if (!move || !list[here + move]) return;
    event.preventDefault();
    list[here].setAttribute("tabindex", "-1");
    list[here + move].setAttribute("tabindex", "0");
    list[here + move].focus();
  });
}

const drawn = Promise.all(all("[data-chart]").map(async place => {
  const options = {renderer: "svg", actions: false, tooltip: {disableDefaultStyle: true}};
  const {view} = await vegaEmbed(place, specs[place.dataset.chart], options);
  views.push(view);
  view.addEventListener("pointerover", (event, item) => highlight(item?.datum?.step ?? ""));
  // On a touch screen a tap shows the tooltip, so it does not open the details as well.
  view.addEventListener("click", (event, item) => {
    if (item?.datum?.step && event.pointerType !== "touch") open(item.datum.step);
  });
  place.addEventListener("pointerleave", () => highlight(""));
  keys(place);
}));
drawn.then(() => document.documentElement.dataset.drawn = "yes");

for (const part of all("tr[data-step], details[data-step] > summary")) {
  const step = part.closest("[data-step]").dataset.step;
  for (const kind of ["pointerenter", "focusin"]) part.addEventListener(kind, () => highlight(step));
  for (const kind of ["pointerleave", "focusout"]) part.addEventListener(kind, () => highlight(""));
}

for (const button of all(".sortable th button")) button.addEventListener("click", () => {
  const head = button.parentElement, column = head.cellIndex, body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of all("th", head.parentElement)) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = row => row.cells[column].dataset.sort;
  const numbers = [...body.rows].every(row => value(row) === "" || isFinite(value(row)));
  const order = (a, b) => numbers ? a - b : a.localeCompare(b);
  const sorted = [...body.rows].sort((a, b) => {
    const blanks = (value(a) === "") - (value(b) === "");  // last in both directions
    return blanks || (down ? -1 : 1) * order(value(a), value(b));
  });
  body.append(...sorted);
});

// Columns that do not fit are left out, the least important first, and a line names them.
const LAST = ["paper_top1", "n", "images_per_second", "p_holm", "seconds", "params", "paper_change", "gflops", "significant"];
const table = document.querySelector(".sortable"), heads = all("thead th", table), note = document.getElementById("left-out");
const metrics = heads.map(head => head.dataset.key).filter(key => key && !["top1", "change", ...LAST].includes(key));
function show(key, seen) {
  const column = heads.findIndex(head => head.dataset.key === key);
  for (const row of table.rows) if (column >= 0) row.cells[column].hidden = !seen;
  return heads[column]?.textContent.trim();
}
function fit() {
  const keys = [...metrics.toReversed(), ...LAST], box = table.parentElement, left = [];
  for (const key of keys) show(key, true);
  for (const key of keys) if (table.offsetWidth > box.clientWidth) left.push(show(key, false));
  note.hidden = !left.length;
  note.textContent = "Too wide for this window: " + left.filter(Boolean).join("; ") + ". They are in the details of each step and in ladder.csv.";
}
addEventListener("resize", fit);
addEventListener("beforeprint", () => { for (const key of [...metrics, ...LAST]) show(key, true); });
addEventListener("afterprint", fit);
fit();

function follow() { if (location.hash.startsWith("#step-")) open(location.hash.slice(6)); }
addEventListener("hashchange", follow);
follow();
const everything = document.getElementById("open-all");
everything.addEventListener("click", () => {
  const opened = everything.getAttribute("aria-pressed") !== "true";
  for (const part of all("details.step")) part.open = opened;
  everything.setAttribute("aria-pressed", opened);
  everything.textContent = opened ? "Close all" : "Open all";
});
