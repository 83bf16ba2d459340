// Reads and writes a FHIR server with fhir-kit-client; prints what it saw as one JSON object.
// Usage: node roundtrip.mjs http://127.0.0.1:8080/fhir a-tag
import { Client, CapabilityTool } from 'fhir-kit-client';

const [baseUrl, tag] = process.argv.slice(2);
const client = new Client({ baseUrl });
const identifier = [{ system: 'urn:tag', value: tag }];
const patient = () => ({ resourceType: 'Patient', identifier, name: [{ family: 'Kit' }], active: true });
const seen = {};

const refusal = async (call) => {
  try {
    await call();
    return 'no refusal';
  } catch (error) {
    const issue = error.response?.data?.issue?.[0];
    return { status: error.response?.status, code: issue?.code, expression: issue?.expression };
  }
};

const statement = await client.capabilityStatement();
const tool = new CapabilityTool(statement);
seen.canSearch = tool.resourceCan('Patient', 'search-type');
seen.fhirVersion = statement.fhirVersion;

const made = await client.create({ resourceType: 'Patient', body: patient() });
const read = await client.read({ resourceType: 'Patient', id: made.id });
const updated = await client.update({ resourceType: 'Patient', id: made.id, body: { ...read, active: false } });
const jsonPatch = [{ op: 'replace', path: '/name/0/family', value: 'Patched' }];
const patched = await client.patch({ resourceType: 'Patient', id: made.id, jsonPatch });
const old = await client.vread({ resourceType: 'Patient', id: made.id, version: '1' });
const history = await client.history({ resourceType: 'Patient', id: made.id });
seen.versions = [made, updated, patched, old].map((resource) => resource.meta.versionId);
seen.family = patched.name[0].family;
seen.history = history.entry.map((entry) => entry.request.method);

for (let n = 0; n < 4; n += 1) await client.create({ resourceType: 'Patient', body: patient() });
const searchParams = { identifier: `urn:tag|${tag}`, _count: 2 };
const ids = [];
seen.pages = 0;
let bundle = await client.search({ resourceType: 'Patient', searchParams });
while (bundle) {
  seen.pages += 1;
  ids.push(...(bundle.entry ?? []).map((entry) => entry.resource.id));
  bundle = await client.nextPage({ bundle });
}
seen.found = ids.length;
seen.distinct = new Set(ids).size;

const posted = await client.search({ resourceType: 'Patient', searchParams, options: { postSearch: true } });
seen.posted = posted.entry.length;

const urn = 'urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0';
const observation = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: urn } };
const transaction = await client.transaction({
  body: {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      { fullUrl: urn, resource: patient(), request: { method: 'POST', url: 'Patient' } },
      { resource: observation, request: { method: 'POST', url: 'Observation' } },
    ],
  },
});
seen.transaction = transaction.entry.map((entry) => entry.response.status.slice(0, 3));
const batch = await client.batch({
  body: { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: `Patient/${made.id}` } }] },
});
seen.batch = batch.entry[0].resource.id === made.id;

const everything = await client.operation({ name: '$everything', resourceType: 'Patient', id: made.id, method: 'GET' });
seen.everything = everything.entry.map((entry) => entry.resource.resourceType);
const outcome = await client.operation({ name: '$validate', resourceType: 'Patient', input: patient() });
seen.validate = outcome.resourceType;

seen.invalid = await refusal(() => client.create({ resourceType: 'Patient', body: { ...patient(), gender: 'f' } }));
await client.delete({ resourceType: 'Patient', id: made.id });
seen.deleted = await refusal(() => client.read({ resourceType: 'Patient', id: made.id }));
seen.unknown = await refusal(() => client.read({ resourceType: 'Patient', id: 'nobody' }));

console.log(JSON.stringify(seen));
