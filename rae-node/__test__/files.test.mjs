// Files that are no store, or cannot be written: a clear error, and their bytes as they were.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { open } from "../index.mjs";
import { folder, opened, refused, rejected, sound, start, turns } from "./helpers.mjs";

/** The files of a folder and what is in them. */
const contents = (at) => Object.fromEntries(readdirSync(at).map((name) => [name, readFileSync(join(at, name)).toString("base64")]));

async function make(store, count = 10) {
  const mem = await open(store);
  await mem.rememberMany(turns(count));
  await mem.close();
}

test("a path is text or a file: URL of this machine", async (t) => {
  const mem = await opened(t);
  for (const path of ["", "nul\0byte", null, undefined, 5, Buffer.from("a.rae"), ["a"], true, {}, new URL("http://example.com/a"), new URL("file://elsewhere/a"),
    new URL("file:///a%2Fb"), new URL("file:///%FF"), new URL("file:///a%00b"), { href: "file:///a" }]) {
    for (const call of [() => open(path), () => mem.export(path), () => mem.import(path), () => mem.backup(path)]) await refused(call, "path");
  }
});

test("a directory and a missing folder are refused, and nothing is made", async (t) => {
  const at = folder(t);
  const mem = await opened(t);
  for (const path of [at, `${at}/`, join(at, "absent", "a.rae"), pathToFileURL(at)]) {
    await refused(() => open(path));
    for (const call of [() => mem.export(path), () => mem.import(path), () => mem.backup(path)]) {
      const error = await call().then(assert.fail, (e) => e);
      assert.ok(["invalid_input", "conflict"].includes(error.kind), `${call}: ${error.kind}`);
      assert.ok(error.message.length > 10);
    }
  }
  assert.deepEqual(readdirSync(at), []);
});

test("a file that is no store stays as it is", async (t) => {
  const at = folder(t);
  const store = join(at, "a.rae");
  for (const content of ["This is my diary, not a store.\n".repeat(100), "x", Buffer.alloc(5000), Buffer.concat([Buffer.from("SQLite format 3\0"), Buffer.alloc(5000, 255)])]) {
    writeFileSync(store, content);
    const before = contents(at);
    await rejected(open(store), "corrupt");
    assert.deepEqual(contents(at), before);
  }
  writeFileSync(store, "");
  await make(store);
  assert.equal(await sound(store), 10);
});

test("a store of a newer version is refused and stays as it is", async (t) => {
  const at = folder(t);
  const store = join(at, "a.rae");
  await make(store);
  // SQLite's user_version: four bytes at 60 of the file's header.
  const bytes = readFileSync(store);
  bytes.writeUInt32BE(bytes.readUInt32BE(60) + 1, 60);
  writeFileSync(store, bytes);
  const before = contents(at);
  const error = await rejected(open(store), "unsupported", "newer");
  assert.equal(error.reason, "newer_schema");
  assert.deepEqual(contents(at), before);
});

test("a damaged store is reported", async (t) => {
  const store = join(folder(t), "a.rae");
  await make(store, 2_000);
  const bytes = readFileSync(store);
  for (let at = 3 * 4096; at < bytes.length; at += 4096) bytes.fill(0xa5, at, at + 2048);
  writeFileSync(store, bytes);
  const damaged = async () => {
    const mem = await open(store);
    try {
      return (await mem.doctor()).some((finding) => finding.level === "error");
    } finally {
      await mem.close();
    }
  };
  assert.equal(await damaged().catch((error) => error.kind === "corrupt"), true);
});

for (const mode of [0o555, 0o755]) {
  const skip = process.platform === "win32" && "permissions of POSIX";
  test(`a store that may only be read is read, in a folder of mode ${mode.toString(8)}`, { skip }, async (t) => {
    const above = folder(t);
    const at = join(above, "shared");
    mkdirSync(at);
    const store = join(at, "a.rae");
    await make(store);
    chmodSync(store, 0o444);
    chmodSync(above, 0o755);
    chmodSync(at, mode);
    const before = readFileSync(store);
    const child = start(`
      // Root may write every file: in its place the user nobody.
      if (process.getuid() === 0) process.setuid(65534);
      const mem = await rae.open(args[0]);
      console.log((await mem.stats()).memories, (await mem.recall("note", { k: 3 })).length, (await mem.context("note")).tokenCount > 0);
      for (const call of [() => mem.remember("x"), () => mem.forget({ scope: "project", target: "default" }), () => rae.open(args[0] + ".new")]) {
        console.log(await call().then(() => "written", (error) => [error.constructor.name, error.code].join(" ")));
      }
      await mem.close();
    `, [store]);
    const { exit, out, err } = await child.ended;
    chmodSync(at, 0o755);
    assert.equal(exit, 0, err);
    const denied = "PermissionDeniedError PERMISSION_DENIED";
    // Run by a user that owns the folder, mode 755 lets it make the new file.
    const made = process.getuid() !== 0 && mode === 0o755 ? "written" : denied;
    assert.deepEqual(out.split("\n"), ["10 3 true", denied, denied, made]);
    assert.deepEqual(readFileSync(store), before);
  });
}
