// The desk: how far raters are and agree, what to settle, the arms side by side, files.

import { Refused, call, id, make, mark, questionGroup, showItem, typing } from "./wire.js";

const EVERY = 5000;
const SVG = "http://www.w3.org/2000/svg";

let review;
let cases = [];
let at = 0;
let drawnCase = "";
const shown = new Map();

const figure = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(value * 100)}%`);
const cell = (...inside) => make("td", {}, ...inside);
const number = (...inside) => make("td", { class: "number" }, ...inside);
const head = (names) => make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", class: name.startsWith(">") ? "number" : null }, name.replace(">", "")))));
const rowHead = (text) => make("th", { scope: "row" }, make("span", { dir: "auto" }, text));

// A value on a line from low to high, with its interval and, where there are any, marks to hold it against.
function line(value, interval, low, high, ticks = []) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "line");
  svg.setAttribute("viewBox", "0 0 200 24");
  svg.setAttribute("aria-hidden", "true");
  const x = (figure) => 6 + (188 * (Math.min(high, Math.max(low, figure)) - low)) / (high - low);
  const draw = (tag, className, attributes) => {
    const part = document.createElementNS(SVG, tag);
    part.setAttribute("class", className);
    for (const [name, held] of Object.entries(attributes)) part.setAttribute(name, held);
    svg.append(part);
  };
  draw("line", "axis", { x1: 6, x2: 194, y1: 12, y2: 12 });
  for (const tick of ticks) draw("line", "tick", { x1: x(tick), x2: x(tick), y1: 3, y2: 21 });
  if (interval && interval[0] !== null && interval[1] !== null) draw("line", "range", { x1: x(interval[0]), x2: x(interval[1]), y1: 12, y2: 12 });
  if (value !== null && value !== undefined) draw("circle", "point", { cx: x(value), cy: 12, r: 4.5 });
  return svg;
}

function drawRaters() {
  const several = review.raters.some((rater) => rater.criteria.some((criterion) => criterion.with_others !== null));
  const names = review.criteria.map((criterion) => criterion.name);
  id("raters").replaceChildren(
    head(["Rater", "Done", ">Time an item", ...(several ? names.map((name) => `>${name}: with the others`) : [])]),
    make(
      "tbody",
      {},
      ...review.raters.map((rater) => {
        const meter = make("meter", { min: 0, max: Math.max(1, rater.assigned), value: rater.done, "aria-label": `${rater.done} of ${rater.assigned}` });
        const beside = names.map((name) => {
          const row = rater.criteria.find((criterion) => criterion.criterion === name);
          const severity = row && row.severity !== null ? make("small", {}, ` ${row.severity > 0 ? "+" : ""}${figure(row.severity)} points`) : null;
          return number(percent(row?.with_others), severity);
        });
        return make(
          "tr",
          {},
          rowHead(rater.name),
          cell(meter, ` ${rater.done} of ${rater.assigned}`),
          number(rater.seconds_per_item === null ? "–" : `${Math.round(rater.seconds_per_item)} s`),
          ...(several ? beside : []),
        );
      }),
    ),
  );
  const done = review.raters.reduce((sum, rater) => sum + rater.done, 0);
  const all = review.raters.reduce((sum, rater) => sum + rater.assigned, 0);
  id("progress").setAttribute("aria-valuemax", all);
  id("progress").setAttribute("aria-valuenow", done);
  id("progress").replaceChildren(...Array.from({ length: 100 }, (_, place) => make("i", { class: place < (100 * done) / Math.max(1, all) ? "full" : "" })));
}

function drawAgreement() {
  id("agreement").replaceChildren(
    head(["Criterion", ">Alpha", "", ">Say the same", ">Answers", ">Differ", ">Settled"]),
    make(
      "tbody",
      {},
      ...review.criteria.map((criterion) => {
        const { value, low, high, items } = criterion.alpha;
        return make(
          "tr",
          {},
          make("th", { scope: "row" }, criterion.name, make("br"), make("small", { dir: "auto", class: "soft" }, criterion.question)),
          number(figure(value), make("br"), make("small", {}, low === null ? "" : `${figure(low)} to ${figure(high)}`)),
          cell(line(value, [low, high], -0.2, 1, [0.667, 0.8])),
          number(percent(criterion.agreement.value)),
          number(items),
          number(criterion.differing),
          number(criterion.settled),
        );
      }),
    ),
  );
}

function drawArms() {
  const rows = review.comparison.measures.flatMap((measure) =>
    Object.entries(measure.arms).map(([arm, estimate], place) => {
      const ends = review.ends[measure.name] || [0, 1];
      const difference = place === 0 ? Object.values(measure.differences)[0] : null;
      return make(
        "tr",
        {},
        rowHead(place ? "" : measure.name.replace(/^rating\(criterion=(.*)\)$/, "$1").replace(/^win_rate\(criterion=(.*)\)$/, "$1")),
        cell(arm),
        number(figure(estimate.value), make("br"), make("small", {}, estimate.interval && estimate.interval[0] !== null ? `${figure(estimate.interval[0])} to ${figure(estimate.interval[1])}` : "")),
        cell(line(estimate.value, estimate.interval, ...ends)),
        number(estimate.num_rows),
        number(difference ? `${difference.value > 0 ? "+" : ""}${figure(difference.value)}` : "", difference?.interval ? make("br") : null, difference?.interval ? make("small", {}, `${figure(difference.interval[0])} to ${figure(difference.interval[1])}`) : null),
      );
    }),
  );
  id("arms").replaceChildren(head(["Criterion", "Arm", ">Mean", "", ">Items", ">Last arm ahead by"]), make("tbody", {}, ...rows));
}

// ---- Settling -------------------------------------------------------------------------------------------------

const questionOf = (key) => review.questions.find((question) => question.key === key);

async function drawCase({ force = false } = {}) {
  const open = cases.filter((one) => !one.settled).length;
  id("settle-lead").textContent = cases.length
    ? `${open} of ${cases.length} answers on which raters lie too far apart are open. What you decide takes the place of what they said, and says so. Who said what, and which model wrote it, is not shown.`
    : "Nothing: no two raters lie further apart than the rubric allows.";
  id("case").hidden = !cases.length;
  if (!cases.length) return;
  at = Math.min(at, cases.length - 1);
  const one = cases[at];
  const drawn = JSON.stringify(one);
  if (drawn === drawnCase && !force) return;
  drawnCase = drawn;
  const question = questionOf(one.question);
  const letters = new Set(review.questions.map((asked) => asked.output).filter(Boolean)).size;
  const group = questionGroup(question, (key, value) => attempt(() => decide(key, value)), letters);
  group.classList.add("current");
  mark(group, one.settled?.value);
  id("form").replaceChildren(group);
  const words = (value) => (value === "skip" ? "cannot tell" : question.kind === "likert" ? value : question.words[question.values.indexOf(value)]);
  id("votes").replaceChildren(...one.votes.map((vote) => make("div", { class: "vote" }, make("b", { dir: "auto" }, words(vote.value)), make("span", { dir: "auto", class: vote.note ? "" : "soft" }, vote.note || "no note"))));
  id("case-place").textContent = `Case ${at + 1} of ${cases.length}`;
  if (document.activeElement !== id("note")) id("note").value = one.settled?.note || "";
  id("decided").textContent = one.settled ? `Settled by ${one.settled.by}.` : "";
  id("back").disabled = at === 0;
  id("next").disabled = at === cases.length - 1;
  id("next").classList.toggle("main", Boolean(one.settled));
  id("undo").disabled = !one.settled;
  if (!shown.has(one.item)) shown.set(one.item, await call(`/api/desk/items/${one.item}`));
  if (cases[at] !== one) return;
  showItem(shown.get(one.item));
  for (const output of id("outputs").children) output.classList.toggle("current", output.dataset.letter === question.output);
}

async function decide(key, value) {
  const one = cases[at];
  tell("saving");
  await call(`/api/desk/settled/${one.item}/${one.question}`, { body: { value, note: id("note").value } });
  await refresh();
}

function go(place) {
  if (place < 0 || place >= cases.length) return;
  at = place;
  id("note").blur();
  drawCase();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !cases.length) return;
  const { key, target } = event;
  if (typing(target)) {
    if (key === "Escape") target.blur();
    return;
  }
  if ((target.matches("input[type=radio]") && key.startsWith("Arrow")) || (target.matches("button, summary") && (key === "Enter" || key === " "))) return;
  const question = questionOf(cases[at].question);
  const digit = /^[1-9]$/.test(key) ? question.values[Number(key) - 1] : key === "0" ? "skip" : undefined;
  const acts = { ArrowLeft: () => go(at - 1), k: () => go(at - 1), ArrowRight: () => go(at + 1), j: () => go(at + 1), Enter: () => go(at + 1), n: () => id("note").focus(), u: () => cases[at].settled && attempt(() => decide(question.key, null)) };
  const act = digit ? () => attempt(() => decide(question.key, digit)) : acts[key];
  if (act) {
    event.preventDefault();
    act();
  }
}

// ---- All of it ------------------------------------------------------------------------------------------------

function tell(state, what) {
  id("saved").dataset.state = state;
  id("saved").textContent = what || { saved: "Up to date", saving: "Saving…", offline: "Offline" }[state];
}

async function refresh() {
  review = await call("/api/desk/review");
  cases = review.differing;
  drawRaters();
  drawAgreement();
  drawArms();
  await drawCase();
  tell("saved");
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    tell(error instanceof Refused ? "refused" : "offline", error instanceof Refused ? error.message : undefined);
  }
}

async function download(button) {
  const text = await call(`/api/desk/files/${button.dataset.file}`, { text: true });
  const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: button.dataset.name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

id("back").addEventListener("click", () => go(at - 1));
id("next").addEventListener("click", () => go(at + 1));
id("undo").addEventListener("click", () => attempt(() => decide(cases[at].question, null)));
id("form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("keydown", pressed);
for (const button of document.querySelectorAll("[data-file]")) button.addEventListener("click", () => attempt(() => download(button)));
attempt(refresh).then(() => {
  document.body.dataset.ready = "yes";
  setInterval(() => document.hidden || attempt(refresh), EVERY);
});
