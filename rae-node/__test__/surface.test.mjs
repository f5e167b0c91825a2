// What is exported: the same for import, require and the types.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import ts from "typescript";
import * as rae from "../index.mjs";

const require = createRequire(import.meta.url);
const { native } = require("../lib/native.js");
const { fromNative } = require("../lib/errors.js");
const table = JSON.parse(native.errorTable());

const types = ts.createSourceFile("index.d.ts", readFileSync(new URL("../index.d.ts", import.meta.url), "utf8"), ts.ScriptTarget.Latest, true);
const isExported = (node) => node.modifiers?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword);
const declared = new Map();
for (const node of types.statements.filter(isExported)) {
  const nodes = ts.isVariableStatement(node) ? node.declarationList.declarations : [node];
  for (const one of nodes) declared.set(one.name.text, one);
}
const isValue = (node) => ts.isClassDeclaration(node) || ts.isFunctionDeclaration(node) || ts.isVariableDeclaration(node);
const literals = (name) => declared.get(name).type.types.map((t) => t.literal.text).sort();
const memberNames = (name) => declared.get(name).members.filter((m) => m.name).map((m) => m.name.getText(types));

test("import and require give the same functions and classes", () => {
  const required = require("../index.js");
  assert.deepEqual(Object.keys(rae).sort(), Object.keys(required).sort());
  for (const name of Object.keys(rae)) assert.equal(rae[name], required[name], name);
});

test("the version is the package's", () => {
  assert.equal(rae.version(), require("../package.json").version);
});

test("the package's files and entries exist and its name is importable in itself", async () => {
  const { exports, files } = require("../package.json");
  for (const path of [...Object.values(exports["."]), ...files.filter((f) => f !== "prebuilds")]) {
    assert.ok(existsSync(new URL(`../${path}`, import.meta.url)), path);
  }
  assert.equal((await import("rae")).open, rae.open);
  assert.equal(require("rae").open, rae.open);
});

test("the types export what the module exports, and nothing else that would be a value", () => {
  const values = [...declared].filter(([, node]) => isValue(node)).map(([name]) => name);
  assert.deepEqual(values.sort(), Object.keys(rae).sort());
});

test("the types list every method and property of Rae", () => {
  const shown = Reflect.ownKeys(rae.Rae.prototype)
    .filter((key) => key !== "constructor" && !String(key).startsWith("_"))
    .map((key) => (key === Symbol.asyncDispose ? "[Symbol.asyncDispose]" : key));
  assert.deepEqual([...new Set(memberNames("Rae"))].sort(), shown.sort());
  // Getters are properties, methods are methods.
  for (const member of declared.get("Rae").members.filter((m) => m.name)) {
    const key = member.name.getText(types);
    const found = Object.getOwnPropertyDescriptor(rae.Rae.prototype, key === "[Symbol.asyncDispose]" ? Symbol.asyncDispose : key);
    assert.equal(ts.isMethodDeclaration(member), typeof found.value === "function", key);
  }
});

test("the types name as many arguments as the methods take", () => {
  for (const member of declared.get("Rae").members.filter((m) => m.name && ts.isMethodDeclaration(m))) {
    const name = member.name.getText(types);
    if (name === "[Symbol.asyncDispose]") continue;
    const most = declared.get("Rae").members.filter((m) => m.name?.getText(types) === name);
    assert.equal(rae.Rae.prototype[name].length, Math.max(...most.map((m) => m.parameters.length)), name);
  }
});

test("a store is made by open, not by new", () => {
  assert.throws(() => new rae.Rae(), TypeError);
});

test("every verb of the engine has a method, and every asynchronous method is a verb", () => {
  const camel = (verb) => verb.replace(/_(.)/g, (_, c) => c.toUpperCase());
  const own = Object.entries(Object.getOwnPropertyDescriptors(rae.Rae.prototype));
  const methods = own.filter(([, found]) => found.value?.constructor.name === "AsyncFunction").map(([name]) => name);
  // The end of a metered call is a method of the call.
  const verbs = native.verbs().filter((verb) => verb !== "end_metered");
  assert.deepEqual(methods.sort(), [...verbs.map(camel), "reembed", "close", "llmStream"].sort());
});

test("every field that the options may have is typed, and the reverse", () => {
  const encode = require("../lib/encode.js");
  const fields = (name) => memberNames(name).sort();
  const known = (set) => [...set].filter((name) => !name.startsWith("_")).sort();
  assert.deepEqual(fields("NewMemoryFields"), known(encode.REMEMBER));
  assert.deepEqual(fields("MemoryUpdate"), known(encode.UPDATE));
  assert.deepEqual(fields("RecallOptions"), known(encode.RECALL));
  assert.deepEqual(fields("ContextOptions"), known(encode.CONTEXT));
  assert.deepEqual(fields("ListOptions"), known(encode.LIST));
  assert.deepEqual(fields("OpenOptions"), known(encode.OPEN));
  assert.deepEqual(fields("ConnectOptions"), known(encode.CONNECT));
  assert.deepEqual(fields("CallOptions"), ["signal"]);
});

test("every kind of the engine's error table has its class, code and type", () => {
  assert.deepEqual(literals("ErrorKind"), table.map((row) => row.kind).sort());
  assert.deepEqual(literals("ErrorCode"), table.map((row) => row.code).sort());
  for (const { kind, code } of table) {
    const error = fromNative(new Error(JSON.stringify({ kind, reason: "why", message: "what", details: { a: 1 }, operation: "op", retryAfter: 2, thrown: null })));
    assert.ok(error instanceof rae.RaeError && error.constructor !== rae.RaeError, kind);
    assert.ok(Object.values(rae).includes(error.constructor), kind);
    const { message, reason, details, operation, retryAfter } = error;
    assert.deepEqual({ kind: error.kind, code: error.code, message, reason, details, operation, retryAfter }, {
      kind, code, message: "what", reason: "why", details: { a: 1 }, operation: "op", retryAfter: 2,
    });
    assert.equal(error.name, kind === "cancelled" ? "AbortError" : error.constructor.name);
    assert.ok(error.stack.includes("what") && error.stack.includes("surface.test"), error.stack);
  }
});

test("every error class can be made by hand and says its kind", () => {
  const classes = Object.values(rae).filter((c) => c.prototype instanceof rae.RaeError);
  assert.equal(classes.length, 12);
  for (const made of classes) {
    const error = new made("by hand");
    assert.equal(error.message, "by hand");
    assert.ok(table.some((row) => row.kind === error.kind && row.code === error.code), made.name);
    assert.equal(error.reason, error.kind);
    assert.ok(!("cause" in error));
    assert.equal(new made("x", { cause: 5 }).cause, 5);
  }
  assert.equal(new rae.RaeError("x").code, "INTERNAL");
});
