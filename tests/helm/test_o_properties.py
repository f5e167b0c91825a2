"""Random values within the schema: whatever they are, valid objects come out, or a refusal that says what is wrong.

The seed is fixed, so that a failure is found again; RAE_TEST_CHART_EXAMPLES sets their number.
"""

from __future__ import annotations

import json
import os
import re

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from netpol import selects
from support import (
    CHART,
    EXPLICIT,
    PROGRAMS,
    Objects,
    Refused,
    containers,
    documents,
    merge,
    nested,
    psa,
    render_text,
    values,
)
from test_n_schemas import OPERATORS, crd_problems, group, problems

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
EXAMPLES = int(os.environ.get("RAE_TEST_CHART_EXAMPLES", "25"))
# Contexts are the user's to weaken; whole objects of Kubernetes have no schema here, and are drawn from known good ones.
WEAKENS = re.compile(r"securityContext|SecurityContext")
GOOD = {
    "extraEnv": [{"name": "RAE_EXTRA", "value": "{{ .Release.Name }}"}],
    "extraEnvFrom": [{"secretRef": {"name": "more", "optional": True}}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "nodeSelector": {"disk": "fast"},
    "podLabels": {"team": "a"},
    "podAnnotations": {"note": "true", "number": "1"},
    "annotations": {"note": "yes"},
    "labels": {"release": "prometheus"},
    "imagePullSecrets": ["registry"],
    "commonLabels": {"team": "b"},
    "commonAnnotations": {"owner": "c"},
    "configMap": {"RAE_MAX_PAGE": 17, "RAE_ENRICH": "rules"},
}
QUANTITIES = st.sampled_from(["100m", "1", "2.5", "64Mi", "1Gi", "10Gi"])
TEXTS = st.sampled_from(["a", "fast", "two-words", "x1"])


def leaves(node: dict, path: str = "") -> dict[str, dict]:
    found = {}
    for key, inner in (node.get("properties") or {}).items():
        here = f"{path}{key}"
        if inner.get("properties"):
            found |= leaves(inner, f"{here}.")
        else:
            found[here] = inner
    return found


def strategy(path: str, node: dict) -> st.SearchStrategy | None:
    name = path.rsplit(".", 1)[-1]
    if WEAKENS.search(path):
        return None
    if name in GOOD:
        return st.just(GOOD[name])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if "anyOf" in node or isinstance(node.get("type"), list):
        options = node.get("anyOf") or [{**node, "type": t} for t in node["type"]]
        known = [s for s in (strategy(path, o) for o in options) if s is not None]
        return st.one_of(known) if known else None
    kind = node.get("type")
    if kind == "boolean":
        return st.booleans()
    if kind == "null":
        return st.none()
    if kind == "integer":
        low = node.get("minimum", 0)
        return st.integers(low, min(node.get("maximum", low + 500), low + 500))
    if kind == "number":
        return st.floats(node.get("minimum", 0), node.get("maximum", 1000)).map(lambda v: round(v, 3))
    if kind == "string" and ".resources." in path:
        return QUANTITIES
    if kind == "string" and not node.get("pattern") and name in ("storageClass", "priorityClassName", "className"):
        return TEXTS
    return None


STRATEGIES = {p: s for p, s in ((p, strategy(p, n)) for p, n in leaves(SCHEMA).items()) if s is not None}


@st.composite
def trees(draw: st.DrawFn) -> dict:
    chosen = draw(st.lists(st.sampled_from(sorted(STRATEGIES)), min_size=1, max_size=25, unique=True))
    return merge(*[nested(path, draw(STRATEGIES[path])) for path in chosen])


def consistent(objects: Objects) -> None:
    """What must hold of every render, beside the schemas of Kubernetes."""
    names = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(names) == len(set(names)), "an object is rendered twice"
    pods = list(objects.pods())
    for o in objects.of("Service", "NetworkPolicy", "PodDisruptionBudget"):
        selector = o["spec"].get("selector", o["spec"].get("podSelector"))
        selector = selector if o["kind"] != "Service" else {"matchLabels": selector}
        if o["kind"] == "NetworkPolicy" and not selector:
            continue  # the one that denies all
        found = [owner for owner, pod in pods if selects(selector, pod["metadata"]["labels"])]
        assert found, (o["kind"], o["metadata"]["name"], "selects no pod")
    for scaler in objects.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert "replicas" not in objects.get(target["kind"], target["name"])["spec"]
        assert scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"]
    maps = {o["metadata"]["name"] for o in objects.of("ConfigMap")}
    accounts = {o["metadata"]["name"] for o in objects.of("ServiceAccount")}
    for owner, pod in pods:
        mounted = {v["name"] for v in pod["spec"].get("volumes") or []}
        mounted |= {
            c["metadata"]["name"]
            for o in objects.of("StatefulSet")
            if owner == f"StatefulSet/{o['metadata']['name']}"
            for c in o["spec"].get("volumeClaimTemplates") or []
        }
        for container in containers(pod):
            for mount in container.get("volumeMounts") or []:
                assert mount["name"] in mounted, (owner, mount)
            keys = [e["name"] for e in container.get("env") or []]
            assert len(keys) == len(set(keys)), (owner, container["name"])
            for source in container.get("envFrom") or []:
                if "configMapRef" in source:
                    assert source["configMapRef"]["name"] in maps, owner
        for volume in pod["spec"].get("volumes") or []:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, owner
        account = pod["spec"].get("serviceAccountName", "default")
        assert account in accounts | {"default", "a"}, (owner, account)


def test_s002_there_is_something_to_draw_from():
    assert len(STRATEGIES) > 250, len(STRATEGIES)
    assert len(values()) > 20


OPERATED: list[dict] = []


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(tree=trees(), engine=st.sampled_from(sorted(PROGRAMS)))
def test_s002_random_values_render_valid_objects_or_are_refused_with_help(tree, engine):
    note(json.dumps(tree))
    try:
        text = render_text(EXPLICIT, tree, engine=engine)
    except Refused as error:
        said = str(error)
        assert "do not work together" in said or "execution error" in said, said
        assert not re.search(r"nil pointer|wrong type|parse error|error calling (?!fail|include)", said), said
        return
    objects = documents(text)
    assert problems(objects, "1.37") == []
    assert [v for v in psa(text) if not v["allowed"]] == []
    assert "<no value>" not in text
    assert "%!" not in text
    consistent(objects)
    OPERATED.extend(o for o in objects if group(o) in OPERATORS)


def test_s002_random_objects_of_operators_are_valid_too():
    """Runs after the test above and looks at all that it has rendered, at once, since the check starts slowly."""
    assert OPERATED, "the test above runs first"
    distinct = [json.loads(t) for t in {json.dumps(o, sort_keys=True) for o in OPERATED}][:60]
    assert [p for p in crd_problems(distinct) if p] == []
