import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { version } from "../index.mjs";

const wanted = JSON.parse(readFileSync(new URL("../package.json", import.meta.url))).version;

test("import gives the engine's version, which is the package's", () => {
  assert.equal(version(), wanted);
});

test("require gives the same module", () => {
  assert.equal(createRequire(import.meta.url)("../index.js").version(), wanted);
});
