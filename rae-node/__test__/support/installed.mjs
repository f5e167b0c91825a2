// What the tests of the examples share: the packed package beside copies of the examples, and their processes.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
// Longest time of one process. Nothing is judged by it; it ends what hangs.
const PROCESS_MS_MAX = 120_000;

/** A child's environment: nothing that would configure a model, a proxy or the test runner. */
export function environment(extra = {}) {
  const dropped = /^(OPENAI_|NODE_|npm_|HOST$|PORT$|COLUMNS$|TERM$)|_proxy$/i;
  const kept = Object.entries(process.env).filter(([name]) => !dropped.test(name));
  return { ...Object.fromEntries(kept), NO_COLOR: "1", ...extra };
}

/** A temporary folder with copies of examples/node and examples/data, and the package installed from its tarball. */
export function install() {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "rae-examples-")));
  const examples = join(root, "examples", "node");
  cpSync(join(REPOSITORY, "examples", "data"), join(root, "examples", "data"), { recursive: true });
  cpSync(join(REPOSITORY, "examples", "node"), examples, {
    recursive: true,
    filter: (from) => !["node_modules", "package-lock.json"].includes(basename(from)) && !from.endsWith(".rae"),
  });
  // No registry is asked: npm is told to stay offline and has an empty cache.
  const cache = join(root, "cache");
  const env = environment({ npm_config_cache: cache, npm_config_update_notifier: "false", npm_config_offline: "true" });
  execFileSync(process.execPath, [join(REPOSITORY, "rae-node", "scripts", "pack.mjs"), root], { env, stdio: "pipe" });
  const tarballs = readdirSync(root).filter((name) => name.endsWith(".tgz"));
  assert.equal(tarballs.length, 1, `one tarball is packed, not ${tarballs}`);
  const args = ["install", "--offline", "--no-audit", "--no-fund", "--silent", join(root, tarballs[0])];
  execFileSync("npm", args, { cwd: examples, env, stdio: "pipe", shell: process.platform === "win32" });
  const elsewhere = join(root, "elsewhere");
  mkdirSync(elsewhere);
  return { root, examples, elsewhere, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** A process of Node. Lines of its output can be waited for. */
export class Program {
  #waiting = [];

  constructor(args, { execPath = process.execPath, ...options }) {
    this.lines = [];
    this.stderr = "";
    const bounds = { stdio: ["ignore", "pipe", "pipe"], timeout: PROCESS_MS_MAX, killSignal: "SIGKILL" };
    this.child = spawn(execPath, args, { ...bounds, ...options });
    this.child.stderr.setEncoding("utf8").on("data", (text) => (this.stderr += text));
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.#waiting = this.#waiting.filter(({ pattern, resolve }) => !pattern.test(line) || void resolve(line));
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code, signal) => {
        const how = `it ended with ${code ?? signal}: ${this.stderr}`;
        for (const { pattern, reject: fail } of this.#waiting) fail(new Error(`no line ${pattern}; ${how}`));
        resolve({ code, signal, stdout: this.lines.join("\n"), stderr: this.stderr });
      });
    });
  }

  /** The first line that fits, printed already or yet to come. */
  line(pattern) {
    const found = this.lines.find((line) => pattern.test(line));
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => this.#waiting.push({ pattern, resolve, reject }));
  }
}

/** One HTTP request as a stranger would make it, on a connection of its own. */
export function call(address, { method = "GET", path = "/", headers = {}, body, agent = false, signal } = {}) {
  return new Promise((resolve, reject) => {
    const req = request(new URL(path, address), { method, headers, agent, signal }, (res) => {
      const chunks = [];
      res.on("data", (chunk) => chunks.push(chunk));
      res.on("error", reject);
      res.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: res.statusCode, headers: res.headers, text, json: () => JSON.parse(text) });
      });
    });
    req.on("error", reject);
    req.end(body);
  });
}

/** A model server whose answers the test gives: `next()` is the next request that came, with `answer` and `left`. */
export async function heldModel() {
  const came = [];
  const waiting = [];
  const server = createServer(async (req, res) => {
    const left = new Promise((resolve) => res.once("close", () => resolve(!res.writableFinished)));
    let text = "";
    for await (const chunk of req.setEncoding("utf8")) text += chunk;
    const asked = {
      url: req.url,
      headers: req.headers,
      body: JSON.parse(text),
      /** True when the other side went away before its answer. */
      left,
      raw: (status, body) => res.writeHead(status, { "content-type": "application/json" }).end(body),
      answer: (content) => asked.raw(200, JSON.stringify({ choices: [{ message: { role: "assistant", content } }] })),
    };
    const taker = waiting.shift();
    if (taker === undefined) came.push(asked);
    else taker(asked);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${server.address().port}/v1`,
    next: () => (came.length > 0 ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve))),
    close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}
