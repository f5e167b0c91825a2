"use strict";
// Finds the native module: one that was built in place, else the one of this platform in prebuilds/.

const { existsSync } = require("node:fs");
const { join } = require("node:path");

/** For example `linux-x64-gnu`, `linux-arm64-musl`, `darwin-arm64`, `win32-x64-msvc`. */
function platformName() {
  const base = `${process.platform}-${process.arch}`;
  if (process.platform === "win32") return `${base}-msvc`;
  if (process.platform !== "linux") return base;
  // glibc says its version in the report's header; musl has none.
  process.report.excludeNetwork = true;
  const { header } = process.report.getReport();
  return `${base}-${header.glibcVersionRuntime ? "gnu" : "musl"}`;
}

function load() {
  const root = join(__dirname, "..");
  const local = join(root, "rae.node");
  if (existsSync(local)) return require(local);
  const name = platformName();
  const prebuilt = join(root, "prebuilds", name, "rae.node");
  if (existsSync(prebuilt)) return require(prebuilt);
  throw new Error(
    `this package of rae has no native module for ${name}: build it with "npm run build" in rae-node, which needs Rust`,
  );
}

module.exports = { native: load(), platformName };
