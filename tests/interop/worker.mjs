// The Node side of tests/interop: node worker.mjs INDEX_MJS FILE; calls verbs, one JSON line in, one out.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { callVerb } from "../../rae-node/__test__/support/wire.mjs";

const [index, file] = process.argv.slice(2);
const { open } = await import(pathToFileURL(index).href);
const mem = await open(file);
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const { verb, args } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ returns: await callVerb(mem, verb, args) }));
  } catch (error) {
    console.log(JSON.stringify({ error: { kind: error.kind, code: error.reason } }));
  }
}
await mem.close();
