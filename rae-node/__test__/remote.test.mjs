// `connect` where the network, the server or something between misbehaves.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CancelledError, PermissionDeniedError, connect, open } from "../index.mjs";
import { NOWHERE, folder, rejected, run, soon, start, until } from "./helpers.mjs";
import { startScenarioServer } from "./support/server.mjs";

let server;
before(async () => {
  server = await startScenarioServer();
});
after(() => server.stop());

/** A handle on a fresh store of the server. */
async function far(t, options = {}) {
  const mem = await connect(await server.store(), { apiKey: server.key, tenant: "t", ...options });
  t.after(() => mem.close());
  return mem;
}

/** A TCP server that answers every request with these bytes and hangs up, or says nothing. */
async function raw(t, answer) {
  const sockets = new Set();
  const made = { calls: 0, heads: [] };
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (head) => {
      made.calls += 1;
      made.heads.push(head.toString());
      if (answer !== undefined) socket.end(answer);
    });
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    listener.close();
  });
  return Object.assign(made, { url: `http://127.0.0.1:${listener.address().port}` });
}

function response(status, body, more = "") {
  return `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}Connection: close\r\n\r\n${body}`;
}

test("nothing is asked before the first call, and a server that is down is unavailable", async (t) => {
  const listener = createServer();
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  const mem = await connect(`http://127.0.0.1:${port}`);
  const error = await rejected(mem.remember("x"), "unavailable", `127.0.0.1:${port}`);
  assert.deepEqual([error.reason, error.operation, mem.tenant, mem.project], ["unreachable", "remember", "default", "default"]);
  t.after(() => mem.close());
});

test("an address that is none is invalid and not repeated", async () => {
  for (const url of ["", "localhost", "ftp://x", "http://", "/tmp/agent.rae", "http://u:geheim@x", "http://x?a=1", "http://x#a"]) {
    const error = await rejected(connect(url));
    assert.equal(error.reason, "invalid_url", url);
    assert.doesNotMatch(error.message, /geheim/);
  }
  await rejected(connect(5), "invalid_input", "url");
});

test("wrong options are said at once, and a key is never shown", async () => {
  for (const apiKey of ["", "with blank 4711", "line\n4711", "schlüssel4711"]) {
    const error = await rejected(connect("http://127.0.0.1:1", { apiKey }));
    assert.equal(error.reason, "invalid_key");
    assert.doesNotMatch(error.message, /4711/);
  }
  await rejected(connect("http://127.0.0.1:1", { tenant: "" }), "invalid_input", "tenant");
  await rejected(connect("http://127.0.0.1:1", { tenant: " a" }), "invalid_input", "blank");
  await rejected(connect("http://127.0.0.1:1", { timeout: 0 }), "invalid_input", "timeout");
  await rejected(connect("http://127.0.0.1:1", { ca: "/does/not/exist.pem" }), "invalid_input", "exist.pem");
  await rejected(connect("http://127.0.0.1:1", { ca: fileURLToPath(import.meta.url) }), "invalid_input", "PEM");
  await rejected(connect("http://127.0.0.1:1", { api_key: "k" }), "invalid_input", "apiKey");
});

test("a wrong key is refused", async (t) => {
  const url = await server.store();
  const mem = await connect(url, { apiKey: "wrong-key-4711", tenant: "t" });
  t.after(() => mem.close());
  const error = await rejected(mem.stats(), "unauthenticated");
  assert.ok(error instanceof PermissionDeniedError);
  assert.deepEqual([error.code, error.reason], ["UNAUTHENTICATED", "unknown_key"]);
  assert.doesNotMatch(error.stack + JSON.stringify(error), /4711/);
});

test("tenants do not see each other, and the headers are sent", async (t) => {
  const mem = await far(t);
  await mem.remember("A secret of t.");
  const other = mem.withScope({ tenant: "u" });
  assert.deepEqual([mem.tenant, other.tenant, mem.file], ["t", "u", null]);
  assert.equal((await other.recall("secret")).length, 0);
  assert.equal((await mem.recall("secret")).length, 1);
  const listener = await raw(t, response("200 OK", "{}"));
  const keyed = await connect(new URL(listener.url), { apiKey: "k1", project: "p" });
  assert.equal(keyed.url, `${listener.url}/`);
  await rejected(keyed.stats(), "unavailable");
  assert.match(listener.heads[0].toLowerCase(), /authorization: bearer k1\r\n/);
  assert.match(listener.heads[0].toLowerCase(), /x-project-id: p\r\n/);
  // Whose memories are meant is the key's business.
  assert.doesNotMatch(listener.heads[0].toLowerCase(), /x-tenant-id/);
});

test("a server that says nothing is a timeout, and a signal ends the wait", async (t) => {
  const listener = await raw(t);
  const mem = await connect(listener.url, { timeout: 0.3 });
  await rejected(mem.recall("x"), "timeout");
  await rejected(mem.rememberMany([{ content: "x" }]), "timeout", "may have been done");
  const patient = await connect(listener.url);
  const before = listener.calls;
  const controller = new AbortController();
  const call = patient.recall("x", { signal: controller.signal });
  call.catch(() => {});
  await until(() => listener.calls > before, "the call");
  controller.abort();
  const error = await soon(rejected(call, "cancelled"));
  assert.ok(error instanceof CancelledError);
});

test("what may be repeated is, and the rest is not", async (t) => {
  for (const [call, times] of [
    [(mem) => mem.recall("x"), 3],
    [(mem) => mem.remember("x"), 3],
    [(mem) => mem.rememberMany([{ content: "x" }]), 1],
    [(mem) => mem.forget({ filter: { kind: "fact" } }), 1],
    [(mem) => mem.update(NOWHERE, { content: "x" }), 1],
  ]) {
    const listener = await raw(t, "");
    const error = await rejected(call(await connect(listener.url)), "unavailable");
    assert.equal(error.reason, "connection_lost");
    assert.equal(listener.calls, times, String(call));
  }
});

test("answers that are not a server's are errors of the table", async (t) => {
  for (const [answer, kind, reason] of [
    [response("502 Bad Gateway", "<html>nginx</html>"), "unavailable", "bad_gateway"],
    [response("404 Not Found", "<html>"), "unavailable", "not_a_rae_server"],
    [response("200 OK", "<html>Welcome</html>"), "unavailable", "not_a_rae_server"],
    [response("302 Found", "", "Location: http://127.0.0.1:1/\r\n"), "unavailable", "redirected"],
    [response("401 Unauthorized", "login"), "unauthenticated", "unauthenticated"],
    [response("429 Too Many Requests", "", "Retry-After: 7\r\n"), "rate_limited", "rate_limited"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "unavailable", "connection_lost"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{", "unsupported", "answer_too_long"],
  ]) {
    const listener = await raw(t, answer);
    const error = await rejected((await connect(listener.url)).stats(), kind);
    assert.equal(error.reason, reason);
    if (kind === "rate_limited") assert.equal(error.retryAfter, 7);
  }
});

test("errors of the server are those of an open store", async (t) => {
  const near = await open(":memory:");
  t.after(() => near.close());
  const remote = await far(t);
  for (const call of [
    (mem) => mem.get(NOWHERE),
    (mem) => mem.recall("x", { k: 0 }),
    (mem) => mem.recall("x", { k: 1e9 }),
    (mem) => mem.remember(" "),
    (mem) => mem.remember("x", { importance: 2 }),
    (mem) => mem.rememberMany([{ content: "x" }, { content: " " }]),
    (mem) => mem.list({ limit: 0 }),
    (mem) => mem.list({ filter: { nothing: 1 } }),
    (mem) => mem.forget({ filter: {} }),
    (mem) => mem.audit({ limit: 0 }),
    (mem) => mem.import("/does/not/exist"),
    (mem) => mem.context(),
  ]) {
    const [one, other] = await Promise.all([near, remote].map((mem) => call(mem).then(assert.fail, (error) => error)));
    const shown = ({ name, kind, reason, details, operation }) => ({ name, kind, reason, details, operation });
    assert.deepEqual(shown(other), shown(one), String(call));
  }
  await rejected(remote.reembed(null), "unsupported", "operator");
});

test("a backup is a store, and an export is read again", async (t) => {
  const [mem, place] = [await far(t), folder(t)];
  await mem.rememberMany(Array.from({ length: 2_500 }, (_, i) => ({ content: `Fact ${i}.` })));
  await mem.backup(join(place, "copy.rae"));
  await rejected(mem.backup(join(place, "copy.rae")), "conflict");
  const copy = await open(join(place, "copy.rae"), { tenant: "t" });
  assert.equal((await copy.stats()).memories, 2_500);
  await copy.close();
  const file = join(place, "x.jsonl");
  assert.equal((await mem.export(file)).memories, 2_500);
  assert.equal((await mem.withScope({ tenant: "u" }).import(file)).imported, 2_500);
  const whole = readFileSync(file);
  const cut = await raw(t, `HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n${whole.subarray(0, 20)}`);
  await rejected((await connect(cut.url)).export(file), "unavailable");
  assert.deepEqual(readFileSync(file), whole);
  assert.deepEqual(readdirSync(place).filter((name) => name.includes("partial")), []);
  writeFileSync(join(place, "mine.txt"), "not an export");
  await rejected(mem.export(join(place, "mine.txt")), "conflict");
});

test("a thousand calls at once are all answered", async (t) => {
  const mem = await far(t);
  const receipts = await Promise.all(Array.from({ length: 1_000 }, (_, i) => mem.remember(`Number ${i}.`)));
  assert.equal(new Set(receipts.map((receipt) => receipt.id)).size, 1_000);
  assert.equal((await mem.stats()).memories, 1_000);
});

test("a closed handle is closed for all, and the server goes on", async (t) => {
  const mem = await far(t);
  const other = mem.withScope({ project: "p" });
  await mem.close();
  await mem.close();
  for (const handle of [mem, other]) assert.equal((await rejected(handle.stats(), "unavailable")).reason, "closed");
  const again = await connect(mem.url, { apiKey: server.key, tenant: "t" });
  assert.equal((await again.stats()).memories, 0);
  await again[Symbol.asyncDispose]();
  await rejected(again.stats(), "unavailable");
});

test("a server that stops is unavailable", async () => {
  const own = await startScenarioServer();
  const mem = await connect(await own.store(), { apiKey: own.key, tenant: "t" });
  await mem.remember("x");
  await own.stop();
  const error = await rejected(mem.recall("x"), "unavailable");
  assert.ok(["unreachable", "connection_lost"].includes(error.reason), error.reason);
});

test("the process ends by itself without close, and a warning tells of a key in the clear", async (t) => {
  const url = await server.store();
  const code = `const mem = await rae.connect(args[0], { apiKey: args[1], tenant: "t" }); console.log((await mem.remember("x")).version);`;
  assert.equal(await run(code, [url, server.key]), "1");
  const child = start(`await rae.connect("http://memory.example", { apiKey: "k" }); console.log("done");`);
  const { exit, out, err } = await child.ended;
  assert.deepEqual([exit, out], [0, "done"]);
  assert.match(err, /RAE_KEY_IN_CLEAR/);
  t.diagnostic("ended");
});
