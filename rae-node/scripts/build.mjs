// Builds the native module with cargo and puts it beside index.js. CARGO_TARGET_DIR is honoured; RAE_PROFILE picks the profile.
import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const profile = process.env.RAE_PROFILE ?? "release";
const target = resolve(here, "..", process.env.CARGO_TARGET_DIR ?? "target");
const library = { linux: "librae_node.so", darwin: "librae_node.dylib", win32: "rae_node.dll" }[process.platform];
if (library === undefined) throw new Error(`no build is known for ${process.platform}`);

execFileSync("cargo", ["build", "--quiet", "--profile", profile, "-p", "rae-node"], { cwd: here, stdio: "inherit" });
copyFileSync(join(target, profile === "dev" ? "debug" : profile, library), join(here, "rae.node"));
