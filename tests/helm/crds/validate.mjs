// Reads a JSON list of objects of operators' kinds and prints a JSON list of what is wrong with each.
//
// The validators check types and what must be there. They do not mind a field that nobody knows, which is how a typo in a
// chart stays unseen, so the compiler of TypeScript looks at the same objects as literals of the published types.
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"

const packages = {
  "monitoring.coreos.com": "prometheus-operator",
  "external-secrets.io": "external-secrets",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
}

const objects = JSON.parse(readFileSync(0, "utf8"))
const problems = objects.map(() => [])
const lines = []
const owners = []
for (const [index, object] of objects.entries()) {
  const [group, version] = object.apiVersion.split("/")
  if (!packages[group]) {
    problems[index].push(`no schema for ${object.apiVersion}`)
    continue
  }
  const path = `@kubernetes-models/${packages[group]}/${group}/${version}`
  const model = (await import(path))[object.kind]
  if (!model) {
    problems[index].push(`${path} does not know ${object.kind}`)
    continue
  }
  try {
    new model(object).validate()
  } catch (error) {
    problems[index].push(error.message)
  }
  const literal = `import type { I${object.kind} as T${index} } from "${path}"; export const o${index}: T${index} = ${JSON.stringify(object, null, 1)};`
  for (const line of literal.split("\n")) {
    lines.push(line)
    owners.push(index)
  }
}

const folder = mkdtempSync(join(import.meta.dirname, "check-"))
try {
  const file = join(folder, "objects.ts")
  writeFileSync(file, lines.join("\n"))
  const program = ts.createProgram([file], {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    types: [],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
  })
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n")
    if (!diagnostic.file || diagnostic.start === undefined) throw new Error(text)
    const line = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line
    problems[owners[line] ?? 0].push(text)
  }
} finally {
  rmSync(folder, { recursive: true })
}
process.stdout.write(JSON.stringify(problems))
