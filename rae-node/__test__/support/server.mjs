// The example `scenario_server` of rae-server: stores on a server, with clocks and seeds.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A running one, with its `url` and the operator's `key`. It ends with this process, if not before. */
export async function startScenarioServer() {
  const program = process.env.RAE_TEST_SCENARIO_SERVER;
  assert.ok(program, "RAE_TEST_SCENARIO_SERVER must name the example: cargo build --profile ci -p rae-server --example scenario_server");
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface(child.stdout), "line");
  const url = line.trim().replace("listening on ", "");
  return {
    url,
    key: "the-key-of-the-scenarios",
    child,
    async post(path, body) {
      const answer = await fetch(url + path, { method: "POST", body: JSON.stringify(body) });
      return answer.json();
    },
    /** The address of a fresh store. */
    async store(options = {}) {
      return url + (await this.post("/open", options)).path;
    },
    async stop() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}
