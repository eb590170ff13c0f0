// A whole session with the official TypeScript SDK: node session.mjs http|sse URL TOOL,… with MEMSYS_API_KEY set.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [transport, url, tools] = process.argv.slice(2);
const Transport = { http: StreamableHTTPClientTransport, sse: SSEClientTransport }[transport];
const headers = { Authorization: `Bearer ${process.env.MEMSYS_API_KEY}` };
const client = new Client({ name: "memsys-test", version: "1" });
await client.connect(new Transport(new URL(url), { requestInit: { headers } }));

async function call(name, args = {}) {
  const answer = await client.callTool({ name, arguments: args });
  assert.ok(!answer.isError, JSON.stringify(answer.content));
  return answer.structuredContent;
}

const listed = await client.listTools();
assert.deepEqual(listed.tools.map((tool) => tool.name), tools.split(","));
const [{ id }] = (await call("add_memory", { text: "Ana prefers tabs." })).results;
assert.equal((await call("search_memories", { query: "What does Ana like?" })).results[0].id, id);
assert.deepEqual((await call("list_memories")).results.map((memory) => memory.id), [id]);
assert.equal((await call("update_memory", { memory_id: id, text: "Ana prefers spaces." })).version, 2);
const resource = await client.readResource({ uri: `memory://${id}` });
assert.equal(JSON.parse(resource.contents[0].text).memory, "Ana prefers spaces.");
const prompt = await client.getPrompt({ name: "recall_project" });
assert.ok(prompt.messages[0].content.text.includes("Ana prefers spaces."));
assert.equal((await call("delete_memory", { memory_id: id })).event, "DELETE");
assert.deepEqual((await call("list_memories")).results, []);
await client.close();
console.log("the session is complete");
