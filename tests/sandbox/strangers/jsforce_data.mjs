// Works with records as any user of jsforce would: node jsforce_data.mjs <address>
import jsforce from "jsforce";

const [address] = process.argv.slice(2);
const seen = {};
const code = (promise) => promise.then(() => null, (error) => error.errorCode ?? error.name);

// The web-server flow with PKCE: the page's form is filled in and sent as a browser does.
const oauth2 = new jsforce.OAuth2({
  loginUrl: address,
  clientId: "halflap-north",
  clientSecret: "secret-north",
  redirectUri: "http://127.0.0.1:7777/callback",
  useVerifier: true,
});
const page = await (await fetch(oauth2.getAuthorizationUrl({ state: "a b&c", scope: "api refresh_token" }))).text();
const form = new URLSearchParams();
const plain = (text) => text.replaceAll("&quot;", '"').replaceAll("&#x27;", "'").replaceAll("&amp;", "&");
for (const [, name, value] of page.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)) form.set(plain(name), plain(value));
form.set("username", "admin@north.example");
form.set("password", "password");
form.set("answer", "allow");
const allowed = await fetch(`${address}/services/oauth2/authorize`, { method: "POST", body: form, redirect: "manual" });
const back = new URL(allowed.headers.get("location"));
seen.state = back.searchParams.get("state");

const refreshed = [];
const conn = new jsforce.Connection({ oauth2, instanceUrl: address, version: "63.0" });
conn.on("refresh", (token) => refreshed.push(token));
await conn.authorize(back.searchParams.get("code"));
seen.identity = (await conn.identity()).username;
seen.refreshToken = Boolean(conn.refreshToken);

// The session ends; jsforce signs in again by its refresh token and repeats the request.
const first = conn.accessToken;
conn.accessToken = "00D!over";
seen.versions = (await conn.request("/services/data")).at(-1).version;
seen.afterRefresh = (await conn.query("SELECT COUNT() FROM Account")).totalSize;
seen.refreshed = [refreshed.length, conn.accessToken !== first];

const account = conn.sobject("Account");
const created = await account.create({ Name: "  Oak & Söhne ", External_Id__c: "a/1", AnnualRevenue: 12.5 });
seen.created = [created.success, created.id.length];
const read = await account.retrieve(created.id);
seen.read = [read.Name, read.AnnualRevenue, read.External_Id__c, read.IsDeleted];
seen.updated = (await account.update({ Id: created.id, Phone: "030 1" })).success;
seen.upserted = [];
for (const [id, name] of [["a/1", "Oak"], ["a2", "Elm"]]) {
  const result = await account.upsert({ External_Id__c: id, Name: name }, "External_Id__c");
  seen.upserted.push([result.success, result.created ?? null]);
}
seen.errors = [
  await code(account.create({ Phone: "1" })),
  await code(account.create({ Name: "x", Nope: 1 })),
  await code(account.create({ Name: "x", External_Id__c: "A2" })),
  await code(account.retrieve("001000000000000")),
  await code(conn.query("SELECT Nope FROM Account")),
  await code(conn.query("SELECT Id FROM Account WHERE")),
];

// Paging: 450 records in pages of 200.
const many = Array.from({ length: 450 }, (_, n) => ({ Name: `Many ${n}`, NumberOfEmployees: n }));
const made = await account.create(many, { allowRecursive: true });
seen.made = made.filter((each) => each.success).length;
const paged = [];
let pages = 1;
let result = await conn.query("SELECT Id, Name FROM Account WHERE Name LIKE 'Many %'", {
  autoFetch: false,
  headers: { "Sforce-Query-Options": "batchSize=200" },
});
paged.push(...result.records);
while (!result.done) {
  result = await conn.queryMore(result.nextRecordsUrl, { headers: { "Sforce-Query-Options": "batchSize=200" } });
  paged.push(...result.records);
  pages += 1;
}
seen.paged = [new Set(paged.map((each) => each.Id)).size, pages, result.totalSize];
const found = await account
  .find({ NumberOfEmployees: { $gte: 448 } }, ["Name", "Owner.Username"])
  .sort("-NumberOfEmployees")
  .limit(5);
seen.found = found.map((each) => [each.Name, each.Owner.Username]);
const gone = await account.destroy(made.slice(0, 200).map((each) => each.id));
seen.gone = gone.filter((each) => each.success).length;

const description = await conn.sobject("Opportunity").describe();
const amount = description.fields.find((field) => field.name === "Amount");
seen.amount = [amount.type, amount.precision, amount.scale];
seen.objects = (await conn.describeGlobal()).sobjects.map((each) => each.name);
seen.limit = conn.limitInfo.apiUsage.limit;

// Bulk API 2.0.
conn.bulk2.pollInterval = 20;
const loaded = await conn.bulk2.loadAndWaitForResults({
  object: "Contact",
  operation: "upsert",
  externalIdFieldName: "External_Id__c",
  input: [
    { LastName: 'Doe, "J"', External_Id__c: "c1", "Account.External_Id__c": "a2" },
    { LastName: "", External_Id__c: "c2", "Account.External_Id__c": "" },
  ],
});
seen.loaded = loaded.successfulResults.map((each) => [each.LastName, each.sf__Created]);
seen.failed = loaded.failedResults.map((each) => [each.External_Id__c, each.sf__Error]);
const stream = await conn.bulk2.query("SELECT LastName, Account.Name FROM Contact");
seen.bulkQueried = await stream.toArray();

const last = conn.accessToken;
await conn.logout();
const ended = new jsforce.Connection({ instanceUrl: address, accessToken: last, version: "63.0" });
seen.afterLogout = await code(ended.query("SELECT Id FROM Account"));
console.log(JSON.stringify(seen));
