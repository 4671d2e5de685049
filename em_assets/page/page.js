"use strict";
// Without this script the page is whole and readable; with it one can filter, sort and copy.
document.documentElement.classList.add("scripted");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const say = (text) => { one("said").textContent = ""; requestAnimationFrame(() => { one("said").textContent = text; }); };

// Witnesses: shown where the pointer or the focus is, until it goes elsewhere or Escape is pressed.
let shown = null;
let from = null;
let leaving = 0;
function place(tip, button) {
  const at = button.getBoundingClientRect(), gap = 4, edge = 10;
  const above = at.top - gap - edge, below = innerHeight - at.bottom - gap - edge;
  tip.style.maxHeight = "none";
  const isBelow = tip.offsetHeight <= below || above < below;
  tip.style.maxHeight = `${Math.max(isBelow ? below : above, 80)}px`;
  tip.style.left = `${Math.max(edge, Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - edge))}px`;
  tip.style.top = `${isBelow ? at.bottom + gap : at.top - gap - tip.offsetHeight}px`;
}
function show(button) {
  clearTimeout(leaving);
  const tip = one(button.getAttribute("popovertarget"));
  if (shown && shown !== tip) hide();
  if (!tip.matches(":popover-open")) tip.showPopover();
  place(tip, button);
  if (tip.scrollHeight > tip.clientHeight) tip.tabIndex = 0; // longer than the window: the arrow keys scroll it
  [shown, from] = [tip, button];
}
function hide() {
  if (shown && shown.matches(":popover-open")) shown.hidePopover();
  shown = null;
}
const hideSoon = () => { clearTimeout(leaving); leaving = setTimeout(hide, 160); };
const witnessed = (target) => target instanceof Element && target.closest("[popovertarget]");
addEventListener("pointerover", (event) => {
  if (event.pointerType === "touch") return;
  const button = witnessed(event.target);
  if (button) show(button);
  else if (shown && shown.contains(event.target)) clearTimeout(leaving);
  else if (shown && !witnessed(document.activeElement)) hideSoon();
});
addEventListener("focusin", (event) => { const button = witnessed(event.target); if (button) show(button); });
addEventListener("focusout", (event) => {
  const isLeft = witnessed(event.target) || event.target === shown;
  if (isLeft && !(shown && shown.contains(event.relatedTarget))) hideSoon();
});
addEventListener("click", (event) => { const button = witnessed(event.target); if (button) show(button); });
// With the focus the page scrolls: the witness goes along with what it is about.
function follow() {
  if (!shown) return;
  const { top, bottom } = from.getBoundingClientRect();
  if (bottom < 0 || top > innerHeight) hide();
  else place(shown, from);
}
addEventListener("scroll", follow, { passive: true });
addEventListener("resize", follow, { passive: true });

// Copying: the whole text, as it stands in the page.
async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    return isDone;
  }
}
addEventListener("click", async (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-copy]");
  if (!button) return;
  const isDone = await put(one(button.dataset.copy).textContent);
  button.focus();
  button.textContent = isDone ? "Copied" : "Not copied";
  button.classList.toggle("is-done", isDone);
  say(isDone ? "Copied" : "The browser does not let pages copy; select the text instead");
  setTimeout(() => { button.textContent = "Copy"; button.classList.remove("is-done"); }, 1600);
});

// Light, dark, or as the system has it.
const themes = ["system", "light", "dark"];
function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  one("theme").textContent = `Theme: ${theme}`;
}
function keptTheme() {
  try { return localStorage.getItem("em_assets.theme"); } catch { return null; }
}
let theme = themes.includes(keptTheme()) ? keptTheme() : "system";
setTheme(theme);
one("theme").addEventListener("click", () => {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  setTheme(theme);
  try { localStorage.setItem("em_assets.theme", theme); } catch { /* kept for this page alone */ }
});

// Where the page was opened in its store on a disk, code names the store's own folder. A copy elsewhere knows of none.
if (location.protocol === "file:" && location.pathname.endsWith("/catalog/index.html")) {
  const store = decodeURIComponent(new URL("..", location.href).pathname);
  for (const code of all(".code pre")) {
    code.textContent = code.textContent.replace('open_group("volumes/', () => `open_group("${store}volumes/`);
  }
}

// Search and filter. The state is in the address, so that what is seen can be sent to somebody.
const form = one("filters");
if (form) {
  const cards = all(".card");
  const home = one("nothing");
  const facets = [...new Set(all('input[type="checkbox"]', form).map((box) => box.name))];
  const folded = (text) => text.normalize("NFKD").replace(/\p{Mn}/gu, "").toLowerCase();
  const number = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? null : Number(text));
  const values = (card, facet) => (facet === "state" ? card.dataset.state.split(" ").filter(Boolean) : [card.dataset[facet]]);

  function asked() {
    const chosen = Object.fromEntries(facets.map((facet) => [facet, all(`input[name="${facet}"]:checked`, form).map((box) => box.value)]));
    const words = folded(form.elements.q.value).split(/\s+/).filter(Boolean);
    return { words, chosen, from: number(form.elements.from.value), to: number(form.elements.to.value) };
  }
  const isRanged = ({ from, to }) => from !== null || to !== null;
  function matches(card, { words, chosen, from, to }, except = null) {
    const { search, least, most } = card.dataset;
    if (!words.every((word) => search.includes(word))) return false;
    if (isRanged({ from, to }) && (least === undefined || (from !== null && Number(least) < from) || (to !== null && Number(most) > to))) return false;
    return facets.every((facet) => facet === except || chosen[facet].length === 0 || values(card, facet).some((value) => chosen[facet].includes(value)));
  }
  function count(label, n) { label.querySelector(".n").textContent = n; label.classList.toggle("is-none", n === 0); }

  function apply() {
    const filter = asked();
    let n = 0;
    for (const card of cards) {
      card.hidden = !matches(card, filter);
      n += !card.hidden;
    }
    for (const facet of facets) {
      const others = cards.filter((card) => matches(card, filter, facet));
      for (const box of all(`input[name="${facet}"]`, form)) {
        count(box.closest("label"), others.filter((card) => values(card, facet).includes(box.value)).length);
      }
    }
    const isFiltered = filter.words.length > 0 || isRanged(filter) || facets.some((facet) => filter.chosen[facet].length > 0);
    const rest = { ...filter, from: null, to: null };
    const unscaled = isRanged(filter) ? cards.filter((card) => card.dataset.least === undefined && matches(card, rest)).length : 0;
    const noun = cards.length === 1 ? "volume" : "volumes";
    one("count").textContent = (isFiltered ? `${n} of ${cards.length} ${noun}` : `${n} ${noun}`)
      + (unscaled ? `; ${unscaled} of unknown voxel size left out` : "");
    one("clear").hidden = !isFiltered;
    home.hidden = n > 0;
  }

  const order = {
    "": (card) => [cards.indexOf(card)],
    voxel: (card) => [card.dataset.least === undefined ? Infinity : Number(card.dataset.least), cards.indexOf(card)],
    bytes: (card) => [-Number(card.dataset.bytes), cards.indexOf(card)],
  };
  function sort() {
    const key = order[form.elements.sort.value] ?? order[""];
    const sorted = cards.map((card) => [key(card), card]).sort(([a], [b]) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : (a[1] ?? 0) - (b[1] ?? 0)));
    for (const [, card] of sorted) home.before(card);
  }

  function write() {
    const state = new URLSearchParams();
    for (const name of ["q", "from", "to", "sort"]) if (form.elements[name].value) state.set(name, form.elements[name].value);
    for (const box of all("input:checked", form)) state.append(box.name, box.value);
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
  }
  function read() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // the address of a card
    const state = new URLSearchParams(hash);
    for (const name of ["q", "from", "to", "sort"]) form.elements[name].value = state.get(name) ?? "";
    for (const box of all('input[type="checkbox"]', form)) box.checked = state.getAll(box.name).includes(box.value);
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { write(); apply(); });
  one("clear").addEventListener("click", () => { form.reset(); write(); apply(); sort(); form.elements.q.focus(); });
  form.elements.sort.addEventListener("input", () => { write(); sort(); });
  addEventListener("hashchange", () => {
    read();
    apply();
    sort();
    const card = document.querySelector(".card:target");
    if (!card || !card.hidden) return;
    form.reset(); // the way to a card leads out of a filter that hides it
    apply();
    sort();
    card.scrollIntoView();
  });
  addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof Element && event.target.matches("input, select, textarea");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    form.elements.q.focus();
  });
  if (matchMedia("(max-width: 860px)").matches) form.querySelector(".facets").open = false;
  read();
  apply();
  if (form.elements.sort.value) sort();
}
