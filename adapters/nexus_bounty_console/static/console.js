// The pages work without this: it keeps them up to date, and makes them quick to use by keyboard.
"use strict";

const THEME = "nexus_bounty_theme";
const PLACES = { b: "/", u: "/doubts", m: "/money", r: "/reconcile", d: "/doctor" };
const GATHER = 150; // milliseconds in which several changes are one

// Up to date

let waiting = null;
let asking = false;

function changed() {
  waiting ??= setTimeout(async () => {
    waiting = null;
    if (asking) return changed();
    asking = true;
    await look().catch(() => undefined);
    asking = false;
  }, GATHER);
}

async function look() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload(); // logged out meanwhile
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (now && now.outerHTML !== old.outerHTML) replace(old, now);
  }
}

function replace(old, now) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key, id = focused?.id;
  const rows = new Map([...old.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, bare(row)]));
  const open = [...old.querySelectorAll("details")].map((each) => each.open);
  const node = document.importNode(now, true);
  old.replaceWith(node);
  node.querySelectorAll("details").forEach((each, at) => { each.open = open[at] ?? false; });
  for (const row of node.querySelectorAll("tr[data-key]")) {
    if (rows.size && rows.get(row.dataset.key) !== bare(row)) row.classList.add("fresh");
  }
  const again = key ? node.querySelector(`tr[data-key="${CSS.escape(key)}"]`) : id && document.getElementById(id);
  again?.focus({ preventScroll: true });
}

function bare(row) {
  return [...row.querySelectorAll(".chip, .number, .main")].map((each) => each.textContent).join("|");
}

let source = null;

// A browser has six connections to a site: pages that nobody sees let go of theirs.
function listen() {
  const from = document.body.dataset.liveFrom;
  if (!from || source || document.hidden) return;
  const shown = document.getElementById("connection");
  source = new EventSource(from);
  source.addEventListener("changed", changed);
  source.addEventListener("open", () => { shown.hidden = false; shown.className = ""; shown.textContent = "live"; changed(); });
  source.addEventListener("error", () => { shown.hidden = false; shown.className = "lost"; shown.textContent = "waiting for the console"; });
}

function leave() {
  source?.close();
  source = null;
}

addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));

// By keyboard

let going = false;

function typing(event) {
  return event.target.closest?.("input, textarea, select, [contenteditable]");
}

function row(step) {
  const rows = [...document.querySelectorAll("tbody tr[tabindex]")];
  const at = rows.indexOf(document.activeElement?.closest?.("tr[tabindex]"));
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  if (going) {
    going = false;
    if (PLACES[event.key]) location.assign(PLACES[event.key]);
    return;
  }
  const act = {
    "/": () => document.getElementById("q")?.select(),
    j: () => row(1),
    k: () => row(-1),
    g: () => { going = true; },
    t: theme,
    "?": () => document.getElementById("help").showModal(),
    Enter: () => event.target.matches?.("tr[tabindex]") && event.target.querySelector("a, button")?.click(),
  }[event.key];
  if (!act) return;
  if (event.key !== "Enter") event.preventDefault();
  act();
}

// Light or dark

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `${THEME}=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
}

for (const [id, act] of [["theme", theme], ["keys", () => document.getElementById("help").showModal()]]) {
  const button = document.getElementById(id);
  button.hidden = false;
  button.addEventListener("click", act);
}
document.addEventListener("keydown", pressed);
listen();
