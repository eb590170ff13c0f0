// mem0's npm client, unmodified: node walk.mjs HOST KEY. Writes what it was answered as JSON.
import { Feedback, MemoryClient } from "mem0ai";

const [host, apiKey] = process.argv.slice(2);
const client = new MemoryClient({ apiKey, host });
const said = {};
const refused = async (call) => {
  try {
    return { answered: await call() };
  } catch (error) {
    return { name: error.constructor.name, message: error.message, code: error.errorCode };
  }
};
const texts = (answer) => answer.results.map((one) => one.memory);
const tea = [{ role: "user", content: "Alice drinks green tea" }];
const bikes = [{ role: "user", content: "Bob repairs motorcycles" }];

await client.ping();
said.project = client.projectId;
const added = await client.add(tea, { userId: "alice", metadata: { cupSize: 3 }, infer: false });
const id = added.results[0].id;
await client.add(bikes, { userId: "bob", runId: "r", infer: false, timestamp: 1700000000 });
const held = await client.get(id);
said.held = { memory: held.memory, userId: held.userId, metadata: held.metadata, createdAt: typeof held.createdAt };
said.found = texts(await client.search("green tea", { filters: { user_id: "alice" }, topK: 3 }));
said.filtered = texts(await client.search("green tea", { filters: { AND: [{ cupSize: { gt: 2 } }, { user_id: "*" }] } }));
const page = await client.getAll({ filters: { user_id: "*" }, page: 1, pageSize: 1 });
said.page = { count: page.count, next: typeof page.next, previous: page.previous, texts: texts(page) };
said.updated = (await client.update(id, { text: "Alice rests" })).memory;
said.history = (await client.history(id)).map((one) => [one.event, one.oldMemory, one.newMemory, one.userId]);
said.users = (await client.users({ page: 1, pageSize: 10 })).results.map((one) => [one.type, one.name, one.totalMemories]);
said.camel = await refused(() => client.search("tea", { filters: { userId: "alice" } }));
said.nothing = await refused(() => client.deleteAll());
said.object = await refused(() => client.deleteAll({ filters: { user_id: "alice" } }));
said.option = await refused(() => client.add(tea, { userId: "alice", customInstructions: "be brief" }));
said.judged = await client.feedback({ memoryId: id, feedback: Feedback.NEGATIVE, feedbackReason: "too short" });
said.unjudged = await client.feedback({ memoryId: id, feedback: null, feedbackReason: null });
said.exported = await refused(() => client.createMemoryExport({ filters: { user_id: "alice" }, schema: {} }));
said.webhooks = await refused(() => client.getWebhooks());
said.profile = await refused(() => client.getProfile({ entityId: "alice" }));
said.kept = (await client.getAll({})).count;
await client.batchUpdate([{ memoryId: id, text: "Alice drinks green tea" }]);
await client.deleteAll({ userId: "bob" });
said.left = texts(await client.getAll({}));
await client.batchDelete([id]);
said.gone = await refused(() => client.delete(id, { deleteLinked: true }));
await client.add(bikes, { userId: "bob/x", infer: false });
await client.deleteUsers({ userId: "bob/x" });
said.end = (await client.getAll({})).count;
console.log(JSON.stringify(said));
