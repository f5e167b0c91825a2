// The examples as a user has them: in another folder, with the packed package installed from its tarball, offline.

import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { open } from "../index.mjs";
import { startScenarioServer } from "./support/server.mjs";
import { Program, REPOSITORY, call, environment, heldModel, install } from "./support/installed.mjs";

const LIMIT = { timeout: 180_000 };
let installed;

before(() => (installed = install()), LIMIT);
after(() => installed?.remove());

/** Runs a file of the examples from another folder, to its end. */
function run(file, args = [], env = {}) {
  const options = { cwd: installed.elsewhere, env: environment(env) };
  return new Program([join(installed.examples, file), ...args], options).ended;
}

function write(name, code) {
  writeFileSync(join(installed.examples, name), code);
  return name;
}

function newFolder(name) {
  return mkdtempSync(join(installed.root, `${name}-`));
}

describe("the installed package", LIMIT, () => {
  const CHECK = `
    const mem = await rae.open(":memory:");
    await mem.remember("The ferry leaves at ten past seven.");
    const [hit] = await mem.recall("When does the ferry leave?");
    await mem.close();
    console.log(JSON.stringify({ version: rae.version(), content: hit.content, where }));`;
  const wanted = JSON.parse(readFileSync(join(REPOSITORY, "rae-node", "package.json"))).version;

  for (const [name, code] of [
    ["import.mjs", `import * as rae from "rae"; const where = import.meta.resolve("rae"); ${CHECK}`],
    ["require.cjs", `const rae = require("rae"); const where = require.resolve("rae"); (async () => { ${CHECK} })();`],
  ]) {
    test(`serves ${name}`, async () => {
      const { code: exit, stdout, stderr } = await run(write(name, code));
      assert.equal(exit, 0, stderr);
      const { version, content, where } = JSON.parse(stdout);
      assert.equal(version, wanted);
      assert.equal(content, "The ferry leaves at ten past seven.");
      assert.ok(where.includes(join(installed.examples, "node_modules", "rae")), where);
    });
  }

  test("brings its types, its licence and one native module, and no sources", () => {
    const folder = join(installed.examples, "node_modules", "rae");
    for (const name of ["index.d.ts", "LICENSE", "README.md"]) assert.ok(existsSync(join(folder, name)), name);
    for (const name of ["rae.node", "src", "Cargo.toml", "__test__"]) assert.ok(!existsSync(join(folder, name)), name);
    assert.equal(readdirSync(join(folder, "prebuilds")).length, 1);
  });

  test("runs the ten lines of the README", async () => {
    const readme = readFileSync(join(REPOSITORY, "README.md"), "utf8");
    const [, code] = /## Ten lines of Node\n+```js\n(.*?)```/s.exec(readme);
    const cwd = newFolder("readme");
    const { ended } = new Program([join(installed.examples, write("readme.mjs", code))], { cwd, env: environment() });
    const { code: exit, stdout, stderr } = await ended;
    assert.equal(exit, 0, stderr);
    assert.match(stdout, /^0\.\d\d Caroline 2023-05-08T13:56:00\S* I adopted a puppy called Scout\.$/m);
    assert.match(stdout, /Caroline lives in Porto\./);
    assert.ok(existsSync(join(cwd, "agent.rae")));
  });
});

test("budget.mjs spends within its budget, and is refused past it", LIMIT, async () => {
  const { code, stdout, stderr } = await run("budget.mjs");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^refused: daily_usd_budget_exceeded$/m);
  assert.match(stdout, /^ada: 1 call, \$0\.0000\d\d$/m);
});

describe("quickstart.mjs", LIMIT, () => {
  test("finds at least nine of twelve, keeps all after opening again, and leaves nothing behind", async () => {
    const TMPDIR = newFolder("tmp");
    const env = { TMPDIR, TEMP: TMPDIR, TMP: TMPDIR, COLUMNS: "100" };
    const { code, stdout, stderr } = await run("quickstart.mjs", [], env);
    assert.equal(code, 0, stdout + stderr);
    assert.equal(stderr, "");
    assert.equal(stdout.match(/found by  /g).length, 12);
    const [, asked] = /among the first 3 in (\d+) of 12/.exec(stdout);
    assert.ok(Number(asked) >= 9, stdout);
    assert.match(stdout, /12 of 12 with the same memories in the same order/);
    assert.match(stdout, /forget\(fact\) {2}304 memories left/);
    assert.match(stdout, /network +0 connections/);
    assert.deepEqual(readdirSync(TMPDIR), []);
  });

  test("says so, and fails, when the evidence is not found", async () => {
    const folder = newFolder("wrong");
    const filter = (from) => !from.includes("node_modules");
    cpSync(join(installed.root, "examples"), folder, { recursive: true, filter });
    symlinkSync(join(installed.examples, "node_modules"), join(folder, "node", "node_modules"), "junction");
    const questions = join(folder, "data", "lighthouse-questions.json");
    const text = readFileSync(questions, "utf8").replaceAll(/"evidence": \[[^\]]*\]/g, '"evidence": ["s99-99"]');
    writeFileSync(questions, text);
    const script = join(folder, "node", "quickstart.mjs");
    const { code, stdout } = await new Program([script], { cwd: installed.elsewhere, env: environment() }).ended;
    assert.equal(code, 1);
    assert.match(stdout, /0 of 12 found; 9 are needed\./);
  });

  // scripts/test.sh names the Python that has the wheel of the same sources.
  const execPath = process.env.RAE_TEST_PYTHON;
  test("prints what its Python twin prints", { skip: !execPath && "RAE_TEST_PYTHON is not set" }, async () => {
    const plain = (text) =>
      text
        .replaceAll(/[\d.]+ ms|[\d,]+ (?=a second|turns a second|KiB)/g, "_ ")
        .replaceAll("remember_many", "rememberMany")
        .replaceAll("k=3", "k: 3")
        .replaceAll("max_tokens=", "maxTokens: ")
        .replaceAll("through Python's", "through Node's")
        .split(/\s+/)
        .filter((word) => !/^[━─│]*$/.test(word));
    const env = { COLUMNS: "100", PYTHONIOENCODING: "utf-8" };
    const twin = join(REPOSITORY, "examples", "python", "quickstart.py");
    const python = new Program([twin], { cwd: installed.elsewhere, env: environment(env), execPath });
    const [theirs, ours] = await Promise.all([python.ended, run("quickstart.mjs", [], env)]);
    assert.equal(theirs.code, 0, theirs.stderr);
    assert.equal(ours.code, 0, ours.stderr);
    assert.deepEqual(plain(ours.stdout), plain(theirs.stdout));
  });
});

describe("same_agent.mjs", LIMIT, () => {
  test("says the same on a file and on a server", async () => {
    const server = await startScenarioServer();
    try {
      const near = await run("same_agent.mjs", [join(newFolder("same"), "agent.rae")]);
      const far = await run("same_agent.mjs", [await server.store()], { RAE_API_KEY: server.key });
      assert.deepEqual([near.code, far.code], [0, 0], near.stderr + far.stderr);
      assert.equal(far.stdout, near.stdout);
      assert.match(near.stdout, /hazelnuts/);
    } finally {
      await server.stop();
    }
  });
});

describe("agent_loop.mjs", LIMIT, () => {
  test("answers in a second process what it was told in the first", async () => {
    const { code, stdout, stderr } = await run("agent_loop.mjs");
    assert.equal(code, 0, stderr);
    const [monday, thursday] = stdout.split("[thursday");
    assert.match(monday, /\[monday, process \d+\] 0 memories/);
    assert.match(monday, /Kit: {2}I do not know that yet\./);
    assert.match(thursday, /roast lamb tomorrow\?\n.*Kit: {2}Ines said on .*: My sister is vegetarian/);
    assert.match(thursday, /ferry leave\?\n.*Kit: {2}Ines said on .*: The ferry .* leaves at ten past seven/);
    assert.equal(thursday.match(/helped: importance is 0\.55 now/g).length, 2);
    const [first, second] = [...stdout.matchAll(/process (\d+)\]/g)].map(([, pid]) => pid);
    assert.notEqual(first, second);
  });

  test("talks on a file of one's own", async () => {
    const store = join(newFolder("agent"), "mine.rae");
    await run("agent_loop.mjs", [store, "a", "The code of the bicycle lock is 4711."]);
    const { stdout } = await run("agent_loop.mjs", [store, "b", "Which code has my bicycle?"]);
    assert.match(stdout, /2 memories\n/);
    assert.match(stdout, /bicycle lock is 4711\. \[1\]/);
    assert.equal((await run("agent_loop.mjs", [store, "c"])).code, 2);
  });

  test("has a fake model that speaks chat completions", async () => {
    const { startFakeModel } = await import(pathToFileURL(join(installed.examples, "lib", "fake_model.mjs")));
    const model = await startFakeModel();
    const post = (body, path = "/v1/chat/completions") => call(model.baseUrl, { method: "POST", path, body });
    try {
      const messages = [
        { role: "system", content: "Notes:\n- [1] [8 May, 2023] Ada: My boat is red.\n- [2] Ada: Rain." },
        { role: "user", content: "What colour has my boat?" },
      ];
      const { status, json } = await post(JSON.stringify({ model: "m", messages }));
      assert.equal(status, 200);
      assert.equal(json().object, "chat.completion");
      assert.equal(json().model, "m");
      const message = { role: "assistant", content: "Ada said on 8 May, 2023: My boat is red. [1]" };
      assert.deepEqual(json().choices, [{ index: 0, message, finish_reason: "stop" }]);
      assert.equal((await post("{")).status, 400);
      assert.equal((await post('{"messages": [{"role": "user"}]}')).status, 400);
      assert.equal((await post("{}", "/v1/models")).status, 404);
    } finally {
      await model.close();
    }
  });
});

describe("chat_server.mjs", LIMIT, () => {
  const started = [];

  after(() => started.forEach((program) => program.child.kill("SIGKILL")));

  async function start(store, env = {}) {
    const file = join(installed.examples, "chat_server.mjs");
    const program = new Program([file, store], { cwd: installed.elsewhere, env: environment({ PORT: "0", ...env }) });
    started.push(program);
    const [, address] = /^listening on (http:\S+)$/.exec(await program.line(/^listening on /));
    const say = (user, session, message, options = {}) =>
      call(address, { method: "POST", path: "/chat", body: JSON.stringify({ user, session, message }), ...options });
    const reply = async (...args) => {
      const response = await say(...args);
      assert.equal(response.status, 200, response.text);
      return response.json();
    };
    const end = (signal) => {
      program.child.kill(signal);
      return program.ended;
    };
    return { program, address, say, reply, end };
  }

  const newStore = () => join(newFolder("chat"), "chat.rae");
  const UNKNOWN = "I do not know that yet.";

  /** The contents of a user's project, read from the file that the server has closed. */
  async function contents(store, user) {
    const mem = await open(store, { tenant: "chat", project: user });
    try {
      assert.deepEqual((await mem.doctor()).filter((finding) => finding.level === "error"), []);
      return (await mem.list()).items.map((memory) => memory.content);
    } finally {
      await mem.close();
    }
  }

  test("remembers over sessions, names its sources, and lets nothing cross users", async () => {
    const { address, reply, end } = await start(newStore());
    assert.deepEqual((await call(address, { path: "/health" })).json(), { status: "ok" });
    assert.deepEqual(await reply("ines", "monday", "My dog is called Brasa."), { reply: "Noted.", sources: [] });
    const { reply: known, sources } = await reply("ines", "tuesday", "What is my dog called?");
    assert.match(known, /^ines said on .*: My dog is called Brasa\. \[\d\]$/);
    const cited = sources.filter((source) => source.cited);
    assert.equal(cited.length, 1);
    assert.match(cited[0].text, /ines: My dog is called Brasa\.$/);
    assert.match(cited[0].id, /^[0-9a-f-]{36}$/);
    for (const other of ["tomas", "Ines", "ines%", "%", "_nes", "*", "default", "../ines", "ines/tuesday"]) {
      const answer = await reply(other, "monday", "What is my dog called?");
      assert.deepEqual(answer, { reply: UNKNOWN, sources: [] }, other);
    }
    assert.equal((await end("SIGTERM")).code, 0);
  });

  test("keeps what it has answered when it is killed", async () => {
    const store = newStore();
    const first = await start(store);
    await first.reply("ines", "a", "The spare key hangs inside the fog bell.");
    assert.equal((await first.end("SIGKILL")).signal, "SIGKILL");
    const second = await start(store);
    assert.match((await second.reply("ines", "b", "Where is the spare key?")).reply, /inside the fog bell\. \[\d\]$/);
    assert.equal((await second.end("SIGTERM")).code, 0);
    const [said, answered] = await contents(store, "ines");
    assert.deepEqual([said, answered], ["The spare key hangs inside the fog bell.", "Noted."]);
  });

  test("refuses what is not a message, and goes on", async () => {
    const { program, address, say, reply, end } = await start(newStore());
    const post = (body, headers = {}) => call(address, { method: "POST", path: "/chat", body, headers });
    const good = { user: "ines", session: "a", message: "Hello" };
    const bad = [
      "",
      "{",
      "null",
      "[]",
      '"text"',
      Buffer.from([0x7b, 0xff, 0x7d]),
      ...["user", "session", "message"].flatMap((name) =>
        // A lone surrogate can be written in JSON, and is no text.
        [undefined, null, 7, "", " ", ["x"], "x".repeat(16_385), "\ud800"].map((value) =>
          JSON.stringify({ ...good, [name]: value }),
        ),
      ),
    ];
    for (const body of bad) {
      const response = await post(body);
      const wanted = body.length > 16 << 10 ? 413 : 400;
      assert.equal(response.status, wanted, `${String(body).slice(0, 80)}: ${response.text}`);
      assert.equal(response.json().error.status, wanted);
    }
    const large = JSON.stringify({ ...good, message: "x".repeat(4 << 20) });
    for (const headers of [{ "content-length": Buffer.byteLength(large) }, { "transfer-encoding": "chunked" }]) {
      const response = await post(large, headers);
      assert.equal(response.status, 413);
      assert.match(response.json().error.message, /more than 16384 bytes/);
    }
    assert.equal((await call(address, { path: "/nothing" })).status, 404);
    assert.equal((await call(address, { path: "/chat" })).status, 404);
    assert.equal((await say("ines", "a", "Hi", { headers: { host: "elsewhere.example" } })).status, 403);
    assert.equal((await say("ines", "a", "Hi", { headers: { origin: "http://elsewhere.example" } })).status, 403);
    assert.equal((await say("ines", "a", "Hi", { headers: { origin: address } })).status, 200);
    assert.equal((await reply("ines", "b", "What is my dog called?")).reply, UNKNOWN);
    assert.equal(program.stderr, "");
    assert.equal((await end("SIGTERM")).code, 0);
  });

  test("has a page that loads nothing from elsewhere", async () => {
    const { address, end } = await start(newStore());
    const { status, headers, text } = await call(address);
    assert.equal(status, 200);
    assert.match(headers["content-type"], /^text\/html/);
    assert.match(headers["content-security-policy"], /default-src 'none'.*connect-src 'self'/);
    assert.doesNotMatch(text, /https?:|\ssrc=|\shref=|@import|url\(|innerHTML/);
    const script = /<script>(.*)<\/script>/s.exec(text)[1];
    assert.doesNotThrow(() => new Function(script));
    await end("SIGTERM");
  });

  test("asks the model that is configured, and remembers nothing of a call that failed", async () => {
    const store = newStore();
    const model = await heldModel();
    const configured = { OPENAI_BASE_URL: `${model.baseUrl}/`, OPENAI_API_KEY: "key-of-a-test", OPENAI_MODEL: "small" };
    const { program, say, end } = await start(store, configured);
    const good = say("ines", "a", "Hello there");
    const asked = await model.next();
    assert.equal(asked.url, "/v1/chat/completions");
    assert.equal(asked.headers.authorization, "Bearer key-of-a-test");
    assert.equal(asked.body.model, "small");
    assert.deepEqual(asked.body.messages.map((message) => message.role), ["system", "user"]);
    assert.equal(asked.body.messages[1].content, "Hello there");
    asked.answer("Hello, Ines. [1] [9]");
    assert.deepEqual((await good).json(), { reply: "Hello, Ines. [1] [9]", sources: [] });
    for (const [status, body] of [
      [500, '{"error": {"message": "SECRET"}}'],
      [200, "SECRET"],
      [200, '{"choices": []}'],
      [200, '{"choices": [{"message": {"content": ""}}]}'],
      [200, "null"],
    ]) {
      const failed = say("ines", "a", "SECRET");
      (await model.next()).raw(status, body);
      assert.equal((await failed).status, 502);
    }
    const { code, stdout, stderr } = await end("SIGTERM");
    assert.equal(code, 0);
    assert.doesNotMatch(stdout + stderr, /SECRET|key-of-a-test/);
    assert.deepEqual(await contents(store, "ines"), ["Hello there", "Hello, Ines. [1] [9]"]);
    await model.close();
  });

  // Sooner than the server would give the call up by itself, after a minute.
  test("ends the call of a caller who leaves, and writes nothing of it", { timeout: 45_000 }, async () => {
    const store = newStore();
    const model = await heldModel();
    const { program, address, say, end } = await start(store, { OPENAI_BASE_URL: model.baseUrl });
    const controller = new AbortController();
    const gone = say("ines", "a", "Forget that I asked.", { signal: controller.signal });
    const asked = await model.next();
    assert.equal(asked.headers.authorization, undefined);
    controller.abort();
    await assert.rejects(gone, { name: "AbortError" });
    assert.equal(await asked.left, true);
    // One who leaves in the middle of the body, too.
    const half = new AbortController();
    const upload = { method: "POST", path: "/chat", headers: { "content-length": 100 }, body: "{" };
    const cut = call(address, { ...upload, signal: half.signal });
    assert.equal((await call(address, { path: "/health" })).status, 200);
    half.abort();
    await assert.rejects(cut);
    const { code } = await end("SIGTERM");
    assert.equal(code, 0, program.stderr);
    assert.equal(program.stderr, "");
    assert.deepEqual(await contents(store, "ines"), []);
    await model.close();
  });

  test("drains at SIGTERM: the call that runs is answered and kept, no other is taken", async () => {
    const store = newStore();
    const model = await heldModel();
    const { program, address, say, end } = await start(store, { OPENAI_BASE_URL: model.baseUrl });
    // A client that keeps its idle connection must not hold the server.
    const agent = new Agent({ keepAlive: true });
    assert.equal((await call(address, { path: "/health", agent })).headers.connection, "keep-alive");
    const running = say("ines", "a", "The ferry leaves at ten past seven.", { agent: new Agent({ keepAlive: true }) });
    const asked = await model.next();
    const ended = end("SIGTERM");
    assert.equal(await program.line(/^draining/), "draining: 1 calls run");
    await assert.rejects(call(address, { path: "/health" }), { code: "ECONNREFUSED" });
    asked.answer("I will keep that in mind.");
    const response = await running;
    assert.equal(response.status, 200);
    assert.equal(response.headers.connection, "close");
    assert.equal(response.json().reply, "I will keep that in mind.");
    const { code, signal, stdout } = await ended;
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    assert.match(stdout, /closed$/);
    assert.ok(!existsSync(`${store}-wal`), "a store that was closed has no log beside it");
    const kept = ["The ferry leaves at ten past seven.", "I will keep that in mind."];
    assert.deepEqual(await contents(store, "ines"), kept);
    agent.destroy();
    await model.close();
  });

  test("ends at once at a second signal", async () => {
    const model = await heldModel();
    const { program, say, end } = await start(newStore(), { OPENAI_BASE_URL: model.baseUrl });
    const rejected = assert.rejects(say("ines", "a", "Hello"));
    await model.next();
    program.child.kill("SIGTERM");
    await program.line(/^draining/);
    assert.equal((await end("SIGTERM")).signal, "SIGTERM");
    await rejected;
    await model.close();
  });

  test("has whole turns only, when it is killed while a call runs", async () => {
    const store = newStore();
    const model = await heldModel();
    const first = await start(store, { OPENAI_BASE_URL: model.baseUrl });
    const kept = first.say("ines", "a", "My boat is called Gaivota.");
    (await model.next()).answer("Noted.");
    assert.equal((await kept).status, 200);
    const lost = first.say("ines", "a", "And it is green.");
    const asked = await model.next();
    const rejected = assert.rejects(lost);
    await first.end("SIGKILL");
    await rejected;
    assert.equal(await asked.left, true);
    await model.close();
    assert.deepEqual(await contents(store, "ines"), ["My boat is called Gaivota.", "Noted."]);
    const second = await start(store);
    const { reply } = await second.reply("ines", "b", "Which name has my boat?");
    assert.match(reply, /My boat is called Gaivota\. \[\d\]$/);
    await second.end("SIGTERM");
  });
});
