// Builds the native module with cargo and puts it beside index.js. CARGO_TARGET_DIR is honoured; RAE_PROFILE picks the profile (release);
// RAE_TARGET is a Rust target to build for, RAE_CARGO the cargo subcommand ("zigbuild" links for other systems).
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const { RAE_PROFILE: profile = "release", RAE_TARGET: triple, RAE_CARGO: subcommand = "build" } = process.env;
const target = resolve(here, "..", process.env.CARGO_TARGET_DIR ?? "target");

/** What cargo calls the library on the system that it is built for. */
function library() {
  const system = triple ?? { darwin: "apple", win32: "windows", linux: "linux" }[process.platform] ?? process.platform;
  if (system.includes("windows")) return "rae_node.dll";
  if (system.includes("apple")) return "librae_node.dylib";
  if (system.includes("linux")) return "librae_node.so";
  throw new Error(`no build is known for ${system}`);
}

const args = [subcommand, "--quiet", "--profile", profile, "-p", "rae-node", ...(triple ? ["--target", triple] : [])];
// musl is linked statically by default, and a static module cannot be loaded.
const flags = triple?.includes("musl") ? { RUSTFLAGS: `${process.env.RUSTFLAGS ?? ""} -C target-feature=-crt-static` } : {};
execFileSync("cargo", args, { cwd: here, stdio: "inherit", env: { ...process.env, ...flags } });
const built = join(target, ...(triple ? [triple] : []), profile === "dev" ? "debug" : profile, library());
// Written anew, not over: a process that has it loaded keeps its own.
rmSync(join(here, "rae.node"), { force: true });
copyFileSync(built, join(here, "rae.node"));
