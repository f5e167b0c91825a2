"""Writes golden/VERSION.yaml: the render of this version of the chart, which every later one must be able to replace."""

import yaml
from support import CHART, EXPLICIT, HERE, PROGRAMS, render_text

version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
texts = {render_text(EXPLICIT, engine=engine) for engine in PROGRAMS}
if len({yaml.safe_dump(list(yaml.safe_load_all(t))) for t in texts}) != 1:
    raise SystemExit("the engines of Helm render different objects")
file = HERE / "golden" / f"{version}.yaml"
file.parent.mkdir(exist_ok=True)
objects = [o for o in yaml.safe_load_all(texts.pop()) if o]
# Files of data are not what an upgrade stumbles over.
for o in objects:
    if o["kind"] == "ConfigMap":
        o["data"] = {k: v if len(v) < 2000 else "left out" for k, v in (o.get("data") or {}).items()}
objects.sort(key=lambda o: (o["kind"], o["metadata"]["name"]))
file.write_text(yaml.safe_dump_all(objects, sort_keys=True, width=120))
print(f"{file.name}: {len(objects)} objects")
