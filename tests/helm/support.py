"""What the tests of the chart share: both engines of Helm, the rendered objects, and the pods in them."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CHART = REPOSITORY / "helm" / "rae-memory"
CI_FILES = sorted(CHART.glob("ci/*-values.yaml"))
RELEASE = NAMESPACE = "rae-memory"

# Where scripts/helm_tests.sh has built them.
PROGRAMS = {
    3: os.environ.get("RAE_TEST_HELM3", "helm3"),
    4: os.environ.get("RAE_TEST_HELM4", "helm4"),
}
PSACHECK = os.environ.get("RAE_TEST_PSACHECK", "psacheck")

COMPONENTS = ("api", "celery-worker", "ml-service", "reranker", "postgresql", "redis", "qdrant")
RAE_COMPONENTS = ("api", "celery-worker", "ml-service", "reranker")
STORES = ("postgresql", "redis", "qdrant")
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")

# With these nothing of a render is random.
EXPLICIT = {
    "postgresql": {"auth": {"existingSecret": "stores"}},
    "redis": {"auth": {"existingSecret": "stores"}},
    "qdrant": {"apiKey": {"existingSecret": "stores"}},
}

Object = dict[str, Any]


class Refused(AssertionError):
    """Helm ended with an error."""


def merge(*trees: dict) -> dict:
    """Values over values, as Helm merges files."""
    result: dict = {}
    for tree in trees:
        for key, value in tree.items():
            if isinstance(value, dict) and isinstance(result.get(key), dict):
                result[key] = merge(result[key], value)
            else:
                result[key] = copy.deepcopy(value)
    return result


def nested(path: str, value: Any) -> dict:
    """{"a": {"b": value}} of "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def lookup(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return tree


def helm(*arguments: object, engine: int = 4, cwd: Path = REPOSITORY, stdin: str | None = None) -> str:
    """Standard output of Helm; Refused with its message where it fails."""
    home = Path(tempfile.gettempdir()) / f"rae-helm-{os.getuid()}-{engine}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": os.environ.get("RAE_TEST_KUBECONFIG", str(home / "no-cluster")),
        "HELM_NAMESPACE": "",
    }
    done = subprocess.run(
        [PROGRAMS[engine], *map(str, arguments)],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout


class Objects(list):
    """The objects of one render."""

    def of(self, *kinds: str) -> list[Object]:
        """Those of these kinds, or all."""
        return [o for o in self if not kinds or o["kind"] in kinds]

    def get(self, kind: str, name: str) -> Object:
        found = [o for o in self if o["kind"] == kind and o["metadata"]["name"] == name]
        assert len(found) == 1, f"{kind}/{name}: {len(found)} of {sorted(self.names())}"
        return found[0]

    def has(self, kind: str, name: str) -> bool:
        return (kind, name) in self.names()

    def names(self) -> set[tuple[str, str]]:
        return {(o["kind"], o["metadata"]["name"]) for o in self}

    def component(self, component: str, *kinds: str) -> list[Object]:
        return [o for o in self.of(*kinds) if labels(o).get("app.kubernetes.io/component") == component]

    def workload(self, component: str) -> Object:
        """The one that runs a component; what hooks and schedules run is not it."""
        found = self.component(component, "Deployment", "StatefulSet")
        assert len(found) == 1, f"{component}: {[(o['kind'], o['metadata']['name']) for o in found]}"
        return found[0]

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Each pod template, with the name of what it belongs to."""
        for o in self.of(*WORKLOADS):
            yield f"{o['kind']}/{o['metadata']['name']}", pod_of(o)


def labels(o: Object) -> dict[str, str]:
    return o["metadata"].get("labels") or {}


def annotations(o: Object) -> dict[str, str]:
    return o["metadata"].get("annotations") or {}


def pod_of(o: Object) -> Object:
    if o["kind"] == "Pod":
        return o
    if o["kind"] == "CronJob":
        return o["spec"]["jobTemplate"]["spec"]["template"]
    return o["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    return [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]


def main_container(o: Object) -> Object:
    return pod_of(o)["spec"]["containers"][0]


def env_of(container: Object) -> dict[str, Any]:
    """Names of variables with their value, or with the valueFrom."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container.get("env") or []}


class Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Refuses a key that is there twice, as Kustomize and Flux do. Helm and PyYAML silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text: str) -> Objects:
    loaded = (o for o in yaml.load_all(text, Loader=Strict) if o)
    return Objects(item for o in loaded for item in (o["items"] if o["kind"] == "List" else [o]))


def render_text(
    *trees: dict,
    files: Iterable[Path] = (),
    sets: Iterable[str] = (),
    engine: int = 4,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    api_versions: Iterable[str] = (),
    kube_version: str | None = None,
    arguments: Iterable[str] = (),
    chart: Path = CHART,
) -> str:
    command = ["template", release, str(chart), "--namespace", namespace]
    for file in files:
        command += ["--values", str(file)]
    tree = merge(*trees)
    if tree:
        command += ["--values", "-"]
    for one in sets:
        command += ["--set", one]
    for version in api_versions:
        command += ["--api-versions", version]
    if kube_version:
        command += ["--kube-version", kube_version]
    command += arguments
    return _render(engine, tuple(command), json.dumps(tree) if tree else None)


@functools.lru_cache(maxsize=512)
def _render(engine: int, command: tuple[str, ...], stdin: str | None) -> str:
    return helm(*command, engine=engine, stdin=stdin)


def render(*trees: dict, **options: Any) -> Objects:
    """The objects of `helm template`. Values of the trees win over those of files, as in Helm's own order."""
    return documents(render_text(*trees, **options))


def notes(*trees: dict, **options: Any) -> str:
    """What a user reads after an install. `helm template` leaves it out, and a dry run of Helm 3 wants a cluster, so that it
    is rendered here as a part of an object, in a copy of the chart."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(shutil.copytree(CHART, Path(folder) / "rae-memory"))
        text = copied / "templates" / "NOTES.txt"
        (text.parent / "_notes.tpl").write_text('{{- define "test.notes" -}}\n' + text.read_text() + "{{- end -}}\n")
        text.unlink()
        (text.parent / "zz-notes.yaml").write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: zz-notes}\n"
            'data:\n  text: {{ include "test.notes" . | quote }}\n'
        )
        objects = documents(render_text(*trees, chart=copied, **options))
    return objects.get("ConfigMap", "zz-notes")["data"]["text"]


def refusal(*trees: dict, **options: Any) -> str:
    """The message with which Helm refuses these values; AssertionError where it takes them."""
    try:
        render_text(*trees, **options)
    except Refused as error:
        return str(error)
    raise AssertionError(f"taken, but must be refused: {trees} {options}")


@functools.cache
def values() -> dict:
    """values.yaml as it is, numbers included."""
    return yaml.safe_load((CHART / "values.yaml").read_text())


def config(objects: Objects) -> dict[str, str]:
    """The ConfigMap that the processes read."""
    found = [o for o in objects.of("ConfigMap") if "ENABLE_COST_TRACKING" in (o.get("data") or {})]
    assert len(found) == 1, [o["metadata"]["name"] for o in found]
    return found[0]["data"]


def config_name(objects: Objects) -> str:
    return next(
        o["metadata"]["name"] for o in objects.of("ConfigMap") if "ENABLE_COST_TRACKING" in (o.get("data") or {})
    )


def psa(text: str, level: str = "restricted", version: str = "latest") -> list[dict]:
    done = subprocess.run([PSACHECK, level, version], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def resolve(container: Object, objects: Objects, secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """The variables that the kubelet would hand to a container; a Secret or key that is not optional must be there."""
    maps = {o["metadata"]["name"]: o.get("data") or {} for o in objects.of("ConfigMap")}
    resolved: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, known in (("configMapRef", maps), ("secretRef", secrets)):
            if kind in source:
                name = source[kind]["name"]
                assert name in known or source[kind].get("optional"), f"{kind} {name} is not there"
                prefix = source.get("prefix", "")
                resolved |= {prefix + k: v for k, v in known.get(name, {}).items()}
    for entry in container.get("env") or []:
        if "value" in entry:
            value = entry["value"]
            for name, known_value in resolved.items():
                value = value.replace(f"$({name})", known_value)
            resolved[entry["name"]] = value
            continue
        for kind, known in (("configMapKeyRef", maps), ("secretKeyRef", secrets)):
            if kind in entry.get("valueFrom", {}):
                ref = entry["valueFrom"][kind]
                found = known.get(ref["name"], {}).get(ref["key"])
                if found is not None:
                    resolved[entry["name"]] = found
                else:
                    assert ref.get("optional"), f"{entry['name']}: {ref['name']}/{ref['key']} is not there"
    return resolved
