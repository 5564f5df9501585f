"use strict";
// Shared by the pages: APP, PART (what a customer has here); each says `cards` and `about()`.
const $ = (id) => document.getElementById(id);
const seen = new Map();
const DECIMAL = new Set(["seats", "price", "Amount"]);
let current = null, save = null, shown = location.hash.slice(1), drawn = "";

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function button(text, name, press) {
  const element = make("button", text);
  element.setAttribute("aria-label", name);
  element.dataset.name = name;
  element.onclick = press;
  return element;
}

const time = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

async function check(answer) {
  if (answer.ok) return;
  const { error } = await answer.json();
  const fields = Object.entries(error.fields ?? {}).map(([name, why]) => `${name}: ${why}`);
  throw new Error(fields.join("; ") || error.message);
}

function edit(title, fields, values, saved) {
  $("dialog-title").textContent = title;
  $("problem").textContent = "";
  $("fields").replaceChildren(...fields.map(([name, label]) => {
    const line = make("label", label), input = make("input");
    input.name = name;
    input.value = values[name] ?? "";
    input.autocomplete = "off";
    if (DECIMAL.has(name)) input.inputMode = "decimal";
    line.append(input);
    return line;
  }));
  save = saved;
  $("dialog").showModal();
}

$("cancel").onclick = () => $("dialog").close();
$("form").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await save(Object.fromEntries(new FormData($("form"))));
    $("dialog").close();
    await refresh();
  } catch (error) {
    $("problem").textContent = error instanceof TypeError
      ? "There is no answer; the change may have been made." : error.message;
  }
};

function row(card, record) {
  const line = make("tr"), id = card.name + record[card.key ?? "id"];
  const state = JSON.stringify(record);
  const first = !seen.has("drawn " + current.id);
  if (!first && seen.get(id)?.state !== state) seen.set(id, { state, until: Date.now() + 2500 });
  else if (first) seen.set(id, { state, until: 0 });
  if (seen.get(id).until > Date.now()) line.className = "fresh";
  for (const column of card.columns) {
    if (column.cell) {
      const cell = make("td", undefined, column.kind);
      cell.append(column.cell(record));
      line.append(cell);
    } else line.append(make("td", column.value(record), `${column.kind ?? ""} ${column.mood?.(record) ?? ""}`));
  }
  if (card.change) {
    const cell = make("td", "", "short");
    cell.append(button("Edit", "Edit " + record.name + " " + record.id, () => card.change(record)));
    line.append(cell);
  }
  return line;
}

function draw(card) {
  const box = make("section", undefined, card.wide ? "wide" : ""), head = make("div");
  const title = make("h2", card.title), records = current[card.name];
  const count = current.counts[card.name];
  title.append(make("span", records.length < count ? `${count}, the newest ${records.length}` : count));
  head.append(title);
  if (card.add) head.append(button("Add", "Add to " + card.name, card.add));
  box.append(head);
  if (!records.length) { box.append(make("p", card.empty, "empty")); return box; }
  const scroll = make("div", undefined, "scroll"), table = make("table");
  const titles = table.createTHead().insertRow(), body = table.createTBody();
  for (const column of card.columns) titles.append(make("th", column.title, column.kind));
  if (card.change) titles.append(make("th", "", "short"));
  body.append(...records.map((each) => row(card, each)));
  scroll.append(table);
  box.append(scroll);
  return box;
}

function show(id) {
  shown = id;
  history.replaceState(null, "", "#" + id);
  return refresh();
}

function faults() {
  if (!current.faults) return [];
  const on = Object.entries(current.faults).filter(([name, value]) =>
    value && name !== "seed" && name !== "status");
  return [make("span", "Faults: " + on.map((pair) => pair.join(" ")).join(", "), "faults")];
}

async function refresh() {
  let answer;
  try {
    answer = await (await fetch(`/sandbox/overview?${PART}=` + encodeURIComponent(shown))).json();
  } catch {
    $("live").textContent = APP + " is not running";
    $("live").className = "off";
    return;
  }
  $("live").textContent = "live";
  $("live").className = "";
  current = answer.shown;
  if (seen.size > 5000) seen.clear();
  const fading = [...seen.values()].some((each) => each.until > Date.now() - 2000);
  const state = JSON.stringify(answer);
  if ((state === drawn && !fading) || document.activeElement?.matches("td :is(input, select)")) return;
  drawn = state;
  const focus = document.activeElement?.dataset?.name;
  $("parts").replaceChildren(...answer[PART + "s"].map((each) => {
    const choice = button(each.name, PART + " " + each.name, () => show(each.id));
    choice.setAttribute("aria-current", String(each.id === current.id));
    return choice;
  }));
  $("about").replaceChildren(...about());
  $("cards").replaceChildren(...(current ? cards.map(draw) : []));
  if (current) seen.set("drawn " + current.id, { until: 0 });
  if (focus) [...document.querySelectorAll("[data-name]")].find((each) => each.dataset.name === focus)?.focus();
}

async function live() {
  await refresh();
  setTimeout(live, 1000);
}
