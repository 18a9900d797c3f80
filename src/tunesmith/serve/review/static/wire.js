// What both pages share: calls with the token of their link, and elements made of text, never of markup.

export const token = location.pathname.split("/")[2];

export class Refused extends Error {
  constructor(status, said) {
    super(said.what || `the server said ${status}`);
    this.status = status;
    this.said = said;
  }
}

// Resolves to JSON (or text); throws Refused when the server says no, and TypeError when it cannot be reached.
export async function call(path, { body, text = false } = {}) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "PUT",
    headers: { "X-Review-Token": token, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "omit",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(15000),
  });
  if (!response.ok) {
    throw new Refused(response.status, await response.json().catch(() => ({})));
  }
  return text ? response.text() : response.json();
}

export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...inside.filter((part) => part !== null && part !== undefined));
  return element;
}

export const id = (name) => document.getElementById(name);

const SHOWN_AT_FIRST = 6000;

// A text of any length: what is very long opens on demand.
export function textBlock(text, className = "text") {
  const block = make("div", { class: className, dir: "auto" });
  const points = text.length > SHOWN_AT_FIRST ? text.slice(0, SHOWN_AT_FIRST) : text;
  block.append(points || make("i", { class: "soft" }, "nothing"));
  if (points.length < text.length) {
    const more = make("button", { type: "button", class: "more" }, `Show all ${text.length.toLocaleString("en")} characters`);
    more.addEventListener("click", () => block.replaceChildren(text));
    block.append("… ", more);
  }
  return block;
}

const SPEAKERS = { system: "Instructions", user: "Asked", assistant: "Answered before", tool: "Tool" };

export function showItem(shown) {
  const turns = shown.prompt.map((turn) =>
    make(
      "div",
      { class: `turn ${turn.role}` },
      shown.prompt.length > 1 ? make("span", { class: "speaker" }, SPEAKERS[turn.role] || turn.role) : null,
      textBlock(turn.content),
    ),
  );
  id("prompt").replaceChildren(...turns);
  id("reference-part").hidden = shown.reference === null;
  if (shown.reference !== null) id("reference").replaceChildren(shown.reference);
  const letters = Object.keys(shown.outputs).sort();
  id("outputs").dataset.count = letters.length;
  id("outputs").replaceChildren(
    ...letters.map((letter) => {
      const name = letters.length > 1 ? `Answer ${letter}` : "Answer";
      return make(
        "section",
        { class: "output", "aria-label": name, "data-letter": letter },
        make("h2", { class: "label" }, name),
        textBlock(shown.outputs[letter]),
      );
    }),
  );
}

// A question as a group of radio buttons; `chosen(key, value)` is told of clicks and of the keys of the group.
export function questionGroup(question, chosen, letters) {
  const { key, output, kind, values, words } = question;
  const about = output && letters > 1 ? make("span", { class: "about" }, output) : null;
  const legend = make("legend", {}, about, make("span", { dir: "auto" }, question.question));
  const option = (value, word, digit) => {
    const input = make("input", { type: "radio", name: key, value, id: `${key}.${value}` });
    input.addEventListener("change", () => chosen(key, value));
    // A mouse leaves no focus behind, so that arrows keep moving between items.
    input.addEventListener("click", (event) => event.detail && input.blur());
    const shown = kind === "likert" ? make("b", {}, value) : make("span", { dir: "auto" }, word);
    const hint = kind === "likert" ? null : make("kbd", { "aria-hidden": "true" }, digit);
    const spoken = kind === "likert" && word ? `${value}, ${word}` : undefined;
    if (spoken) input.setAttribute("aria-label", spoken);
    return make("label", { class: value === "skip" ? "skipping" : "option" }, input, make("span", { class: "face", title: spoken }, hint, shown));
  };
  const row = make("div", { class: `options ${kind}` }, ...values.map((value, place) => option(value, words[place], place + 1)));
  row.style.setProperty("--values", values.length);
  const ends =
    kind === "likert" && (words[0] || words.at(-1))
      ? make("div", { class: "ends", "aria-hidden": "true" }, make("span", { dir: "auto" }, words[0]), make("span", { dir: "auto" }, words.at(-1)))
      : null;
  const skip = option("skip", "Cannot tell", "0");
  skip.querySelector(".face").replaceChildren(...(kind === "choice" ? [make("kbd", { "aria-hidden": "true" }, "0"), "Cannot tell"] : ["?"]));
  skip.querySelector(".face").title = "Cannot tell (0)";
  skip.querySelector("input").setAttribute("aria-label", "Cannot tell");
  row.append(skip);
  const help = question.help ? make("p", { class: "more-help", dir: "auto" }, question.help) : null;
  return make("fieldset", { class: "question", "data-key": key }, legend, help, row, ends);
}

export function mark(group, value) {
  for (const input of group.querySelectorAll("input")) input.checked = input.value === value;
  group.classList.toggle("answered", value !== undefined);
}

export const typing = (target) => target.matches("textarea, input[type=text]");
