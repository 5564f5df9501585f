async function send(path, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/sandbox" + path, { method: "POST", headers, body: JSON.stringify(body) });
  await check(answer);
  return answer.json();
}

const write = (action, object, id, values) =>
  send(`/orgs/${encodeURIComponent(current.id)}/records`, { action, object, id, values });

// An empty box is no value; what the server refuses is taken back and said.
function box(object, name, choices) {
  return { title: name === "StageName" ? "Stage" : name, kind: name === "Amount" ? "short number" : "",
    cell: (record) => {
      const input = make(choices ? "select" : "input");
      if (choices) input.append(...choices().map((each) => make("option", each)));
      input.value = record[name] ?? "";
      input.dataset.name = `${name} of ${record.id}`;
      input.setAttribute("aria-label", `${name} of ${record.Name}`);
      if (DECIMAL.has(name)) { input.inputMode = "decimal"; input.size = 10; }
      input.onchange = async () => {
        input.setCustomValidity("");
        try {
          const value = input.value.trim() || null;
          await write("update", object, record.id, { [name]: value });
          input.blur();
          await refresh();
        } catch (error) {
          input.setCustomValidity(error instanceof TypeError ? "There is no answer." : error.message);
          input.reportValidity();
        }
      };
      input.onkeydown = (event) => {
        if (event.key === "Escape") { input.value = record[name] ?? ""; input.blur(); }
      };
      return input;
    } };
}

const id = { title: "Id", kind: "short", value: (each) => each.id };
const stages = () => current.stages;
const add = (object, fields, values = {}) => () => edit(`Add to ${object}`, fields, values, (given) =>
  write("create", object, undefined, Object.fromEntries(Object.entries(given).filter(([, each]) => each))));

const cards = [
  { name: "opportunities", title: "Opportunities", wide: true,
    empty: "No opportunity yet. Add one, then change its amount and watch the message go out.",
    add: add("Opportunity", [["Name", "Name"], ["StageName", "Stage"], ["Amount", "Amount"],
      ["CloseDate", "Close date"]], { StageName: "Prospecting",
      CloseDate: new Date().toISOString().slice(0, 10) }),
    columns: [box("Opportunity", "Name"), box("Opportunity", "StageName", stages),
      box("Opportunity", "Amount"), id] },
  { name: "accounts", title: "Accounts", add: add("Account", [["Name", "Name"]]),
    empty: "No account yet. Add one, or let an integration create it.",
    columns: [box("Account", "Name"), id] },
  { name: "contacts", title: "Contacts", empty: "No contact yet.",
    add: add("Contact", [["FirstName", "First name"], ["LastName", "Last name"], ["Email", "Email"]]),
    columns: [box("Contact", "LastName"), box("Contact", "Email")] },
  { name: "messages", title: "Outbound messages", wide: true,
    empty: "Nobody is told of changes. An active instance deploys its messages here.",
    columns: [
      { title: "Message", kind: "short", value: (each) => each.name },
      { title: "Endpoint", value: (each) => each.url },
      { title: "Fields", value: (each) => each.fields.join(", ") },
      { title: "Pending", kind: "short number", value: (each) => String(each.pending) }] },
  { name: "flows", title: "Flows and rules", empty: "No automation yet.", columns: [
      { title: "Name", value: (each) => each.name },
      { title: "On", value: (each) => each.on },
      { title: "Status", kind: "short", value: (each) => each.status,
        mood: (each) => each.status === "Active" ? "good" : "" }] },
  { name: "deliveries", title: "Last deliveries", key: "key", empty: "Nothing was sent yet.", columns: [
      { title: "Message", value: (each) => each.message },
      { title: "Sent", kind: "short number", value: (each) => String(each.notifications) },
      { title: "Outcome", kind: "short",
        value: (each) => [each.outcome, each.outcome === "failed" ? each.status ?? "no answer" : each.status,
          time(each.at)].filter(Boolean).join(" · "),
        mood: (each) => each.outcome === "delivered" ? "good" : "bad" }] },
];

$("new-org").onclick = () => edit("New org", [["name", "Name"]], {}, async (values) =>
  show((await send("/orgs", values)).id));

function about() {
  if (!current) return [make("span", "There is no org yet. Make one: it comes with a user and a client.")];
  return [["Org", "id"], ["User", "username"], ["Password", "password"], ["Client", "client_id"],
    ["Secret", "client_secret"]].filter(([, name]) => current[name]).map(([label, name]) => {
    const line = make("span", label + " ");
    line.append(make("code", current[name]));
    return line;
  }).concat(faults());
}
