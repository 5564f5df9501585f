// Manages metadata as any user of jsforce would: node jsforce_metadata.mjs <address> <zip to deploy>
import { readFileSync } from "node:fs";
import zlib from "node:zlib";

import jsforce from "jsforce";

const [address, zip] = process.argv.slice(2);
const seen = {};
const code = (promise) => promise.then(() => null, (error) => error.errorCode ?? error.message.split(":")[0]);
const list = (value) => (Array.isArray(value) ? value : [value]);

const conn = new jsforce.Connection({ loginUrl: address, version: "63.0" });
seen.wrong = await code(conn.loginBySoap("admin@trees.example", "wrong"));
seen.organizationId = (await conn.login("admin@trees.example", "passwordTOKEN")).organizationId;

const message = (fullName, endpointUrl) => ({
  fullName,
  apiVersion: "63.0",
  endpointUrl,
  fields: ["Id", ...(fullName.startsWith("Opportunity") ? ["Amount"] : [])],
  includeSessionId: false,
  integrationUser: "admin@trees.example",
  name: "Tell",
  protected: false,
});
const type = "WorkflowOutboundMessage";
const opportunity = message("Opportunity.Tell", "http://127.0.0.1:9/a?b=1&c=2");
const created = await conn.metadata.create(type, opportunity);
seen.created = { fullName: created.fullName, success: created.success, errors: list(created.errors) };
seen.again = list((await conn.metadata.create(type, opportunity)).errors)[0].statusCode;
seen.read = await conn.metadata.read(type, "Opportunity.Tell");
seen.updated = (await conn.metadata.update(type, { ...opportunity, name: "Told" })).success;
const upserted = await conn.metadata.upsert(type, message("Account.Tell", "http://127.0.0.1:9/b"));
seen.upserted = [upserted.success, upserted.created];
seen.listed = (await conn.metadata.list({ type }, "63.0")).map((each) => each.fullName).sort();

conn.metadata.pollInterval = 20;
const deploy = conn.metadata.deploy(readFileSync(zip), { rollbackOnError: true, singlePackage: true });
const deployed = await deploy.complete(true);
const successes = list(deployed.details.componentSuccesses).map((each) => each.fullName);
seen.deployed = [deployed.status, successes.sort()];
const unpackaged = { types: [{ members: "*", name: "Flow" }], version: "63.0" };
const retrieved = await conn.metadata
  .retrieve({ apiVersion: "63.0", singlePackage: true, unpackaged })
  .complete();
seen.retrieved = names(Buffer.from(retrieved.zipFile, "base64"));

const flows = await conn.tooling.query(
  "SELECT Id, Definition.DeveloperName, Status, VersionNumber FROM Flow WHERE Status = 'Active'",
);
seen.queried = flows.records.map((f) => [f.Definition.DeveloperName, f.Status, f.VersionNumber]);
const made = await conn.tooling.sobject(type).create({
  FullName: "Opportunity.Tooling",
  Metadata: { ...message("Opportunity.Tooling", "http://127.0.0.1:9/tooling"), fullName: undefined },
});
const one = await conn.tooling.query(`SELECT Id, FullName, Metadata FROM ${type} WHERE Id = '${made.id}'`);
seen.metadata = one.records[0].Metadata;
seen.several = await code(conn.tooling.query(`SELECT Id, Metadata FROM ${type}`));
await conn.tooling.sobject(type).update({ Id: made.id, Metadata: { ...seen.metadata, name: "Renamed" } });
seen.patched = (await conn.tooling.sobject(type).retrieve(made.id)).Metadata.name;
await conn.tooling.sobject(type).delete(made.id);
const described = await conn.tooling.describeGlobal();
const wanted = ["Flow", type];
seen.objects = described.sobjects.map((each) => each.name).filter((n) => wanted.includes(n)).sort();

const version = flows.records[0].Id;
seen.active = await code(conn.tooling.sobject("Flow").delete(version));
const [definition] = (await conn.tooling.query("SELECT Id FROM FlowDefinition")).records;
await conn.tooling
  .sobject("FlowDefinition")
  .update({ Id: definition.Id, Metadata: { activeVersionNumber: null } });
await conn.tooling.sobject("Flow").delete(version);
const gone = ["Opportunity.Tell", "Account.Tell", "Opportunity.Deployed"];
for (const result of await conn.metadata.delete(type, gone)) {
  if (!result.success) throw new Error(JSON.stringify(result));
}
await conn.logout();
console.log(JSON.stringify(seen));

function names(data) {
  const found = [];
  let at = 0;
  while (data.readUInt32LE(at) === 0x04034b50) {
    const [size, name, extra] = [data.readUInt32LE(at + 18), data.readUInt16LE(at + 26), data.readUInt16LE(at + 28)];
    found.push(data.toString("utf8", at + 30, at + 30 + name));
    const start = at + 30 + name + extra;
    zlib.inflateRawSync(data.subarray(start, start + size));
    at = start + size;
  }
  return found;
}
