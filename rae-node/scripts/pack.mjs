// Packs the package with the native module that `npm run build` made: node scripts/pack.mjs FOLDER. The tarball holds it under prebuilds/
// by the name of its platform (RAE_PLATFORM, default this machine's), beside what RAE_PREBUILDS has from other machines.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = resolve(process.argv[2] ?? ".");
const { files } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const staged = mkdtempSync(join(tmpdir(), "rae-npm-"));
try {
  for (const name of [...files, "package.json", "README.md"]) {
    if (name !== "prebuilds") cpSync(join(here, name), join(staged, name), { recursive: true });
  }
  if (process.env.RAE_PREBUILDS) cpSync(resolve(process.env.RAE_PREBUILDS), join(staged, "prebuilds"), { recursive: true });
  const native = join(here, "rae.node");
  if (!existsSync(native)) throw new Error("there is no rae.node: run `npm run build` first");
  const platform = process.env.RAE_PLATFORM ?? createRequire(import.meta.url)("../lib/native.js").platformName();
  mkdirSync(join(staged, "prebuilds", platform), { recursive: true });
  cpSync(native, join(staged, "prebuilds", platform, "rae.node"));
  mkdirSync(folder, { recursive: true });
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: staged, encoding: "utf8" });
  const tarball = join(folder, packed.trim());
  console.log(`${tarball}: ${(statSync(tarball).size / 1e6).toFixed(1)} MB, the native module ${(statSync(native).size / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(staged, { recursive: true, force: true });
}
