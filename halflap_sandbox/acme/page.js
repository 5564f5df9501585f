const external = { title: "External id", value: (each) => each.external_id ?? "–", kind: "short" };

const cards = [
  { name: "accounts", title: "Accounts", add: () => edit("Add an account", [
      ["name", "Name"], ["external_id", "External id (optional)"]],
      {}, (values) => send("POST", "accounts", text(values))),
    empty: "No account yet. Add one, or let an integration create it.",
    columns: [
      { title: "Name", value: (each) => each.name }, external,
      { title: "Changed", value: (each) => time(each.updated_at), kind: "short" }] },
  { name: "contacts", title: "Contacts", add: () => edit("Add a contact", [
      ["name", "Name"], ["email", "Email (optional)"], ["external_id", "External id (optional)"]],
      {}, (values) => send("POST", "contacts", text(values))),
    change: (each) => edit(each.name, [["name", "Name"], ["email", "Email"]], each,
      (values) => send("PATCH", "contacts/" + encodeURIComponent(each.id), text(values))),
    empty: "No contact yet. Add one, or let an integration create it.",
    columns: [
      { title: "Name", value: (each) => each.name },
      { title: "Email", value: (each) => each.email ?? "–" },
      { title: "Changed", value: (each) => time(each.updated_at), kind: "short" }] },
  { name: "opportunities", title: "Opportunities", add: () => edit("Add an opportunity", [
      ["name", "Name"], ["stage", "Stage"], ["seats", "Seats"], ["price", "Price"],
      ["external_id", "External id (optional)"]],
      { stage: "new", seats: "1", price: "0.00" },
      (values) => send("POST", "opportunities", text(values))),
    change: (each) => edit(each.name, [["seats", "Seats"], ["price", "Price"]], each,
      (values) => send("PATCH", "opportunities/" + encodeURIComponent(each.id), text(values))),
    empty: "No opportunity yet. Add one, then change its seats and watch the change go out.",
    columns: [
      { title: "Name", value: (each) => each.name },
      { title: "Stage", value: (each) => each.stage, kind: "short" },
      { title: "Seats", value: (each) => each.seats, kind: "short number" },
      { title: "Price", value: (each) => each.price, kind: "short number" }] },
  { name: "activities", title: "Activities", empty: "Nothing has happened yet.", columns: [
      { title: "Title", value: (each) => each.title },
      { title: "Kind", value: (each) => each.kind, kind: "short" },
      { title: "At", value: (each) => time(each.created_at), kind: "short" }] },
  { name: "stock", title: "Stock", key: "item", empty: "The shelves are empty.", columns: [
      { title: "Item", value: (each) => each.item },
      { title: "Quantity", value: (each) => each.quantity, kind: "short number" },
      { title: "Changed", value: (each) => time(each.updated_at), kind: "short" }] },
  { name: "webhooks", title: "Webhooks", wide: true,
    empty: "Nobody is told of changes. An active instance registers its webhooks here.",
    columns: [
      { title: "Event", value: (each) => each.event, kind: "short" },
      { title: "URL", value: (each) => each.url },
      { title: "Pending", value: (each) => String(each.pending), kind: "short number" },
      { title: "Last delivery", kind: "short", value: ({ last }) => last === null ? "none yet" :
          `${last.outcome.replace("_", " ")} · ${last.status ?? "no answer"} · try ` +
          `${last.attempt} · ${time(last.at)}`,
        mood: ({ last }) => last && (last.outcome === "delivered" ? "good" : "bad") }] },
];

// Seats keep every digit only if they never become a JavaScript number.
function text(values) {
  return "{" + Object.entries(values).filter(([, value]) => value !== "").map(([name, value]) =>
    JSON.stringify(name) + ":" +
    (name === "seats" && /^(0|[1-9][0-9]*)$/.test(value) ? value : JSON.stringify(value))
  ).join(",") + "}";
}

async function send(method, path, body) {
  const headers = { "Content-Type": "application/json",
    "Authorization": "Bearer " + current.api_key };
  const answer = await fetch("/v1/" + path, { method, headers, body });
  await check(answer);
}

$("new-workspace").onclick = () => edit("New workspace", [["name", "Name"]], {}, async (values) => {
  const answer = await fetch("/sandbox/workspaces", { method: "POST",
    headers: { "Content-Type": "application/json" }, body: text(values) });
  await check(answer);
  show((await answer.json()).id);
});

function about() {
  if (!current) return [make("span", "There is no workspace yet. Make one: it comes with an API key.")];
  const id = make("span", "Workspace "), key = make("span", "API key ");
  id.append(make("code", current.id));
  key.append(make("code", current.api_key));
  const lines = [id, key];
  if (!current.idempotency) lines.push(make("span", "Idempotency keys are off"));
  return [...lines, ...faults()];
}
