// A rater's page. Answers are kept here first, then sent; what could not be sent stays on this device until it can.

import { Refused, call, id, make, mark, questionGroup, showItem, token, typing } from "./wire.js";

const MINE = `tunesmith-review-${token.slice(0, 12)}`;
const KEPT = `${MINE}-${Date.now().toString(36)}${Math.random().toString(36).slice(2)}`; // every window has its own
const NO_ANSWER = new Set([404, 413, 415, 422]); // the server will never take it; any other refusal may pass
const SLOWEST_RETRY = 15000;
const AWAY_AFTER = 120; // seconds without a touch that no longer count as looking at the item
const PREFETCHED = 400;

let review;
let at = 0; // place among review.items
let asked = 0; // place among review.questions
const groups = new Map(); // question -> fieldset
const shown = new Map(); // item -> what it shows
const undos = [];

// ---- What is kept on this device until the server has it ------------------------------------------------------

const waiting = new Map(); // item -> {marks, note, seconds, revision}
const refused = new Map(); // item -> what the server said

function keep() {
  try {
    if (waiting.size) localStorage.setItem(KEPT, JSON.stringify([...waiting]));
    else localStorage.removeItem(KEPT);
  } catch {
    // Private windows may hold nothing; what waits is then sent from memory.
  }
}

function recall() {
  const left = Object.keys(localStorage).filter((key) => key.startsWith(MINE));
  for (const key of left) {
    for (const [item, answer] of JSON.parse(localStorage.getItem(key) || "[]")) {
      if (!(waiting.get(item)?.revision > answer.revision)) waiting.set(item, answer);
    }
  }
  keep(); // under this window's name, before the others go
  for (const key of left) localStorage.removeItem(key);
}

let sending = false;
let retryIn = 1000;
let timer;

async function send() {
  if (sending) return;
  sending = true;
  clearTimeout(timer);
  try {
    while (waiting.size) {
      const [item, answer] = waiting.entries().next().value;
      tell(retryIn > 1000 ? "offline" : "saving");
      try {
        const { marks, note, seconds, revision } = answer; // what was touched stays here
        await call(`/api/rate/items/${item}`, { body: { marks, note, seconds, revision } });
        acknowledged(item, answer.revision);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (error.status === 409) merge(item, error.said);
        else if (!NO_ANSWER.has(error.status)) throw error;
        else {
          refused.set(item, error.message);
          waiting.delete(item);
        }
      }
      retryIn = 1000;
      keep();
    }
    tell(refused.size ? "refused" : "saved");
  } catch {
    timer = setTimeout(send, retryIn);
    retryIn = Math.min(retryIn * 2, SLOWEST_RETRY);
    tell("offline");
  } finally {
    sending = false;
  }
}

function acknowledged(item, revision) {
  refused.delete(item);
  if (waiting.get(item)?.revision === revision) waiting.delete(item);
}

// Another window was ahead: what was said there holds, but for what was said here since.
function merge(item, kept) {
  const own = waiting.get(item);
  const answer = answerOf(item);
  if (!own || !answer) return void waiting.delete(item);
  const touched = own.touched || [];
  const marks = { ...kept.marks };
  for (const key of touched) if (own.marks[key] === undefined) delete marks[key]; else marks[key] = own.marks[key];
  const note = own.noted ? own.note : kept.note;
  Object.assign(answer, { marks, note, revision: kept.revision + 1 });
  if (JSON.stringify([marks, note]) === JSON.stringify([kept.marks, kept.note])) {
    answer.revision = kept.revision;
    waiting.delete(item);
  } else waiting.set(item, { ...own, marks, note, revision: answer.revision });
  if (answer === review.items[at]) paint();
}

function tell(state) {
  const words = {
    saved: "Saved",
    saving: "Saving…",
    offline: waiting.size ? `Offline, ${waiting.size} kept here` : "Offline",
    refused: `Not saved: ${[...refused.values()][0]}`,
  };
  const saved = id("saved");
  saved.dataset.state = state;
  if (saved.textContent !== words[state]) saved.textContent = words[state];
}

const answerOf = (item) => review.items.find((answer) => answer.item === item);

function change(answer, changes, key) {
  touchTime();
  Object.assign(answer, changes, { revision: answer.revision + 1, seconds: answer.seconds });
  const before = waiting.get(answer.item);
  const touched = [...new Set([...(before?.touched || []), ...(key ? [key] : [])])];
  waiting.set(answer.item, {
    marks: { ...answer.marks },
    note: answer.note,
    seconds: Math.round(answer.seconds * 10) / 10,
    revision: answer.revision,
    touched,
    noted: before?.noted || changes.note !== undefined,
  });
  keep();
  send();
}

// ---- Time -----------------------------------------------------------------------------------------------------

let touchedAt = performance.now();

function touchTime() {
  const now = performance.now();
  const passed = (now - touchedAt) / 1000;
  if (review && !document.hidden) review.items[at].seconds += Math.min(passed, AWAY_AFTER);
  touchedAt = now;
}

function timeLeft() {
  const times = review.items.filter((answer) => isDone(answer) && answer.seconds > 0).map((answer) => answer.seconds).sort((a, b) => a - b);
  const left = review.items.filter((answer) => !isDone(answer)).length;
  if (!left) return "all done";
  if (times.length < 3) return `${left} to go`;
  const minutes = Math.ceil((times[Math.floor(times.length / 2)] * left) / 60);
  return minutes < 90 ? `about ${minutes} min to go` : `about ${Math.round(minutes / 60)} hours to go`;
}

// ---- What is on the page --------------------------------------------------------------------------------------

const isDone = (answer) => review.questions.every((question) => answer.marks[question.key] !== undefined);

async function load(item) {
  if (!shown.has(item)) shown.set(item, await call(`/api/rate/items/${item}`));
  return shown.get(item);
}

async function go(place, { focus = true } = {}) {
  if (place < 0 || place >= review.items.length) return;
  saveNote();
  touchTime();
  at = place;
  const answer = review.items[at];
  asked = Math.max(0, review.questions.findIndex((question) => answer.marks[question.key] === undefined));
  paint();
  const ready = shown.get(answer.item);
  id("waiting").hidden = true;
  try {
    const content = ready || (await load(answer.item));
    if (review.items[at] === answer) {
      showItem(content);
      placeQuestions();
      paint();
      const texts = new Set(Object.values(content.outputs));
      id("alike").hidden = Object.keys(content.outputs).length < 2 || texts.size > 1;
    }
  } catch {
    if (review.items[at] !== answer) return;
    for (const name of ["prompt", "outputs"]) id(name).replaceChildren();
    id("reference-part").hidden = id("alike").hidden = true;
    id("waiting").hidden = false;
    setTimeout(() => review.items[at] === answer && !id("waiting").hidden && go(at, { focus: false }), 2000);
  }
  if (focus) {
    window.scrollTo({ top: 0 });
    id("item").focus({ preventScroll: true });
  }
}

// On a narrow page the questions about an answer stand under it.
const narrow = matchMedia("(max-width: 62rem)");

function placeQuestions() {
  for (const question of review.questions) {
    const under = narrow.matches && id("outputs").querySelector(`[data-letter="${question.output}"]`);
    (under || id("form")).append(groups.get(question.key));
  }
}

function paint() {
  const answer = review.items[at];
  for (const [key, group] of groups) {
    mark(group, answer.marks[key]);
    const current = key === review.questions[asked]?.key;
    group.classList.toggle("current", current);
    group.toggleAttribute("aria-current", current);
  }
  for (const output of id("outputs").children) {
    output.classList.toggle("current", output.dataset.letter === review.questions[asked].output && id("outputs").children.length > 1);
  }
  if (document.activeElement !== id("note") || id("note").dataset.item !== String(answer.item)) id("note").value = answer.note;
  id("note").dataset.item = answer.item;
  grow();
  const total = review.items.length;
  const done = review.items.filter(isDone).length;
  id("place").textContent = `${at + 1} of ${total}`;
  id("left").textContent = timeLeft();
  id("back").disabled = at === 0;
  id("next").disabled = at === total - 1;
  id("undo").disabled = !undos.length;
  id("next").classList.toggle("main", isDone(answer));
  id("done").textContent = done === total ? "All done. Thank you! You can still change anything." : isDone(answer) ? "Done. Enter goes on." : "";
  const progress = id("progress");
  progress.setAttribute("aria-valuemax", total);
  progress.setAttribute("aria-valuenow", done);
  progress.replaceChildren(
    ...review.items.map((one, place) =>
      make("i", { class: isDone(one) ? "full" : Object.keys(one.marks).length ? "part" : "", "data-here": place === at }),
    ),
  );
}

function grow() {
  const note = id("note");
  note.rows = Math.min(6, Math.max(1, note.value.split("\n").length, Math.ceil(note.value.length / 38)));
}

function give(key, value) {
  const answer = review.items[at];
  undos.push({ item: answer.item, key, value: answer.marks[key] });
  if (undos.length > 500) undos.shift();
  change(answer, { marks: { ...answer.marks, [key]: value } }, key);
  asked = nextOpen(review.questions.findIndex((question) => question.key === key));
  paint();
  groups.get(review.questions[asked].key).scrollIntoView({ block: "nearest" });
}

function nextOpen(from) {
  const answer = review.items[at];
  const order = review.questions.map((_, step) => (from + 1 + step) % review.questions.length);
  return order.find((place) => answer.marks[review.questions[place].key] === undefined) ?? from;
}

function undo() {
  const last = undos.pop();
  if (!last) return;
  const place = review.items.findIndex((answer) => answer.item === last.item);
  const answer = review.items[place];
  const marks = { ...answer.marks };
  if (last.value === undefined) delete marks[last.key];
  else marks[last.key] = last.value;
  change(answer, { marks }, last.key);
  if (place !== at) go(place);
  asked = review.questions.findIndex((question) => question.key === last.key);
  paint();
}

const firstOpen = () => review.items.findIndex((answer) => !isDone(answer));

// ---- Keys -----------------------------------------------------------------------------------------------------

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || id("welcome").open) return;
  const { key, target } = event;
  if (typing(target)) {
    if (key === "Escape") target.blur();
    return;
  }
  // Whoever came to a radio button by the tabulator has its own arrows.
  const inRadios = target.matches("input[type=radio]") && key.startsWith("Arrow");
  const onButton = target.matches("button") && (key === "Enter" || key === " ");
  if (inRadios || onButton) return;
  const question = review.questions[asked];
  const acts = {
    ArrowLeft: () => go(at - 1),
    k: () => go(at - 1),
    ArrowRight: () => go(at + 1),
    j: () => go(at + 1),
    Enter: () => go(at + 1),
    ArrowUp: () => ask(asked - 1),
    ArrowDown: () => ask(asked + 1),
    0: () => give(question.key, "skip"),
    u: undo,
    g: () => firstOpen() >= 0 && go(firstOpen()),
    n: () => id("note").focus(),
    "?": () => welcome(),
  };
  const digit = /^[1-9]$/.test(key) ? question.values[Number(key) - 1] : undefined;
  const act = digit ? () => give(question.key, digit) : acts[key];
  if (act) {
    event.preventDefault();
    act();
  }
}

function ask(place) {
  if (place < 0 || place >= review.questions.length) return;
  asked = place;
  paint();
  groups.get(review.questions[asked].key).scrollIntoView({ block: "nearest" });
}

// ---- Beginning ------------------------------------------------------------------------------------------------

function welcome() {
  const done = review.items.filter(isDone).length;
  id("todo").textContent = done
    ? `You have done ${done} of ${review.items.length}.`
    : `There are ${review.items.length} items to rate.`;
  id("instructions").replaceChildren(
    ...review.instructions.split(/\n\s*\n/).filter(Boolean).map((paragraph) => make("p", {}, paragraph)),
  );
  const seen = new Set();
  const explained = review.questions.filter((question) => question.help && !seen.has(question.question) && seen.add(question.question));
  id("explained").replaceChildren(
    ...explained.map((question) => make("p", { dir: "auto" }, make("b", {}, question.question), " ", question.help)),
  );
  id("welcome").querySelector("button").textContent = done ? "Go on" : "Begin";
  id("welcome").showModal();
}

let typed;

function saveNote() {
  clearTimeout(typed);
  const answer = review.items[at];
  if (id("note").value !== answer.note) change(answer, { note: id("note").value });
}

function build() {
  const letters = new Set(review.questions.map((question) => question.output).filter(Boolean)).size;
  for (const question of review.questions) groups.set(question.key, questionGroup(question, give, letters));
  id("form").replaceChildren(...groups.values());
  id("form").addEventListener("submit", (event) => event.preventDefault());
  id("back").addEventListener("click", () => go(at - 1));
  id("next").addEventListener("click", () => go(at + 1));
  id("undo").addEventListener("click", undo);
  id("help").addEventListener("click", welcome);
  const note = id("note");
  note.addEventListener("input", () => {
    grow();
    clearTimeout(typed);
    typed = setTimeout(saveNote, 600);
  });
  note.addEventListener("blur", saveNote);
  addEventListener("pagehide", saveNote);
  narrow.addEventListener("change", placeQuestions);
  addEventListener("keydown", pressed);
  addEventListener("online", () => { retryIn = 1000; send(); });
  addEventListener("offline", () => tell("offline"));
  document.addEventListener("visibilitychange", () => { touchedAt = performance.now(); });
}

// Items ahead are fetched while there is a connection, so that losing it stops nobody.
async function prefetch() {
  const order = [...review.items.slice(at), ...review.items.slice(0, at)].slice(0, PREFETCHED);
  for (const answer of order) {
    try {
      await load(answer.item);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

async function begin() {
  try {
    recall();
  } catch {
    // A browser that keeps nothing has nothing to recall.
  }
  review = await call("/api/rate/review");
  for (const [item, kept] of waiting) {
    const answer = answerOf(item);
    if (!answer) waiting.delete(item);
    else if (kept.revision > answer.revision) Object.assign(answer, { marks: { ...kept.marks }, note: kept.note, revision: kept.revision, seconds: kept.seconds });
  }
  build();
  const open = firstOpen();
  at = open < 0 ? review.items.length - 1 : open;
  id("note").value = review.items[at].note;
  await go(at, { focus: false });
  const began = review.items.some((answer) => answer.revision > 0);
  if (!began) welcome();
  document.body.dataset.ready = "yes";
  send();
  prefetch();
}

begin().catch((error) => {
  id("waiting").hidden = false;
  id("waiting").textContent = error instanceof Refused ? error.message : "The server cannot be reached. Load the page again in a moment.";
});
