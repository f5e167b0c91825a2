"""Section 3: every rendered object against the published schemas, in every version of Kubernetes that has one."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
from support import CHART, CI_FILES, EXPLICIT, HERE, Objects, containers, nested, pod_of, refusal, render

VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
OPERATORS = ("monitoring.coreos.com", "external-secrets.io", "gateway.networking.k8s.io", "keda.sh")
# No published validator; what we use of it is checked below by hand.
UNKNOWN = ("autoscaling.k8s.io",)
FILES = [None, *CI_FILES, CHART / "values-production.yaml", CHART / "values-development.yaml"]
JOB = {"migrations": {"mode": "job"}, "backup": {"enabled": True}}


def group(o: dict) -> str:
    return o["apiVersion"].split("/")[0] if "/" in o["apiVersion"] else ""


def built_in(objects: Objects) -> list[dict]:
    return [o for o in objects if group(o) not in OPERATORS + UNKNOWN]


@functools.cache
def _checked(text: str, version: str) -> str:
    """What is wrong with an object; the same object comes in many renders."""
    try:
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


def problems(objects: Objects, version: str) -> list[str]:
    found = []
    for o in built_in(objects):
        said = _checked(json.dumps(o, sort_keys=True), version)
        if said:
            found.append(f"{o['kind']}/{o['metadata']['name']}: {said}")
    return found


@pytest.mark.parametrize(
    "handler",
    [{"tcpSocket": {"port": "http"}}, {"exec": {"command": ["true"]}}, {"httpGet": {"path": "/x", "port": "http"}}],
    ids=lambda h: next(iter(h)),
)
@pytest.mark.parametrize("key", ["memoryApi", "celeryWorker", "mlService", "rerankerService", "qdrant"])
def test_s001_a_probe_with_a_handler_of_its_own_is_valid(key, handler, engine):
    """It is merged with the path of the default, which is no field of a probe."""
    own = {key: dict.fromkeys(("startupProbe", "readinessProbe", "livenessProbe"), handler)}
    objects = render(EXPLICIT, own, engine=engine)
    assert problems(objects, VERSIONS[-1]) == []
    found = [c["readinessProbe"] for _, pod in objects.pods() for c in containers(pod) if "readinessProbe" in c]
    assert [p for p in found if handler.items() <= p.items()]


@pytest.mark.parametrize("version", VERSIONS)
def test_s001_objects_are_valid_in_every_version_of_kubernetes(version):
    # Every file at both ends of the row, and those with the most objects between them.
    files = FILES if version in (VERSIONS[0], VERSIONS[-1]) else [None, *[f for f in CI_FILES if "all-on" in f.stem]]
    for file in files:
        objects = render(EXPLICIT, files=[file] if file else [], kube_version=f"{version}.0")
        assert len(built_in(objects)) >= 10
        assert problems(objects, version) == [], file
    assert problems(render(EXPLICIT, JOB, kube_version=f"{version}.0"), version) == []


def test_s001_the_validator_itself_can_say_no():
    objects = render(EXPLICIT)
    objects.get("Deployment", "rae-memory-api")
    broken = json.loads(json.dumps(objects.get("Deployment", "rae-memory-api")))
    broken["spec"]["template"]["spec"]["containerz"] = []
    assert problems(Objects([broken]), "1.37")
    broken = json.loads(json.dumps(objects.get("Service", "rae-memory-api")))
    broken["spec"]["ports"][0]["port"] = "eight thousand"
    assert problems(Objects([broken]), "1.25")


def crd_problems(objects: list[dict]) -> list[list[str]]:
    modules = Path(os.environ.get("RAE_TEST_CRD_MODULES", HERE / "crds" / "node_modules"))
    script = modules.parent / "validate.mjs"
    assert script.exists(), f"scripts/helm_tests.sh installs the schemas and puts {script.name} beside them"
    done = subprocess.run(["node", str(script)], input=json.dumps(objects), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_s058_s063_kinds_of_operators_are_valid_by_their_published_schemas():
    """ServiceMonitor, PodMonitor, PrometheusRule, ExternalSecret, HTTPRoute, ScaledObject, TriggerAuthentication."""
    rule = nested("monitoring.prometheusRule.enabled", True)
    relabel = {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "pod"}
    detailed = {
        "monitoring": {
            "serviceMonitor": {
                "relabelings": [relabel],
                "metricRelabelings": [{"action": "drop", "regex": "x", "sourceLabels": ["__name__"]}],
                "authorization": {"type": "Bearer", "credentials": {"name": "s", "key": "k"}},
            }
        },
        "gateway": {"enabled": True, "parentRefs": [{"name": "edge"}], "timeouts": {"request": "30s"}},
        "externalSecrets": {"enabled": True, "secretStoreKind": "ClusterSecretStore", "extraKeys": {"a": "b"}},
    }
    older = {"externalSecrets": {"enabled": True, "apiVersion": "external-secrets.io/v1beta1"}}
    objects: list[dict] = []
    renders = [render(EXPLICIT, files=[f] if f else []) for f in FILES]
    renders += [render(EXPLICIT, rule, tree) for tree in (detailed, older)]
    for one in renders:
        objects += [o for o in one if group(o) in OPERATORS and o not in objects]
    kinds = {o["kind"] for o in objects}
    assert kinds >= {
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "ExternalSecret",
        "HTTPRoute",
        "ScaledObject",
        "TriggerAuthentication",
    }
    # The last one has a field that nobody knows: the check must see it.
    typo = json.loads(json.dumps(next(o for o in objects if o["kind"] == "ServiceMonitor")))
    typo["spec"]["endpointz"] = []
    *found, last = crd_problems([*objects, typo])
    wrong = {f"{o['kind']}/{o['metadata']['name']}": p for o, p in zip(objects, found, strict=True) if p}
    assert wrong == {}
    assert any("endpointz" in p for p in last)


def test_s049_vertical_autoscalers_name_their_targets():
    objects = render(EXPLICIT, nested("vpa.enabled", True))
    found = objects.of("VerticalPodAutoscaler")
    assert len(found) == 4
    for o in found:
        assert o["spec"]["updatePolicy"] == {"updateMode": "Off"}
        target = o["spec"]["targetRef"]
        assert target["apiVersion"] == "apps/v1"
        assert objects.has(target["kind"], target["name"])


TYPOS = [
    "memoryApi.replicas",
    "memoryApi.autoscaling.minReplica",
    "memoryapi.replicaCount",
    "mlService.resource.limits.cpu",
    "postgresql.primary.persistance.size",
    "redis.master.persistence.sise",
    "qdrant.persistence.storageclass",
    "ingress.classname",
    "celeryWorker.maxTasksPerchild",
    "externalSecrets.store",
    "monitoring.serviceMonitors.enabled",
    "networkPolicies.enabled",
    "networkPolicy.policyType",
    "serviceAccount.name2",
    "backup.shedule",
    "image.version",
]
WRONG = [
    ("memoryApi.replicaCount", "two"),
    ("memoryApi.replicaCount", -1),
    ("memoryApi.replicaCount", 1.5),
    ("memoryApi.autoscaling.enabled", "yes"),
    ("memoryApi.service.port", 0),
    ("memoryApi.service.port", 65536),
    ("memoryApi.resources", []),
    ("memoryApi.extraEnv", {"A": "b"}),
    ("postgresql.primary.kind", "DaemonSet"),
    ("redis.master.kind", "statefulset"),
    ("migrations.mode", "hook"),
    ("celeryWorker.keda.minReplicas", 0),
    ("postgresql.image.tag", 17.5),
    ("redis.auth.password", True),
    ("monitoring.crdCheck", "maybe"),
    ("monitoring.serviceMonitor.interval", 30),
    ("image.pullPolicy", "Sometimes"),
    ("image.digest", "latest"),
    ("networkPolicy.policyTypes", ["Both"]),
    ("backup.destination", "ftp"),
    ("backup.retention", 0),
    ("config.auth", "none"),
    ("vpa.updateMode", "On"),
    ("ingress.tls", {}),
    ("configMap", ["A"]),
    ("postgresql.primary.persistence.retention", "Keep"),
]


@pytest.mark.parametrize("key", TYPOS)
def test_s056_a_typo_in_a_key_is_refused(key):
    said = refusal(EXPLICIT, nested(key, "x"))
    assert "dditional propert" in said, said
    assert key.split(".")[-1] in said or key.split(".")[-2] in said or key.split(".")[0] in said


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{k}={v}" for k, v in WRONG])
def test_s056_a_wrong_value_is_refused(key, value, engine):
    said = refusal(EXPLICIT, nested(key, value), engine=engine)
    assert "schema" in said or "do not work together" in said, said
    assert key.split(".")[0] in said
    assert "nil pointer" not in said


def test_s056_global_values_of_others_are_left_alone():
    """A chart that has this one as a part of it shares its globals."""
    assert render(EXPLICIT, {"global": {"somebodyElse": {"a": 1}}}) == render(EXPLICIT)


TOGETHER = [
    ({"postgresql": {"enabled": False}, "secrets": {"keys": {"databaseUrl": ""}}}, "database"),
    ({"memoryApi": {"autoscaling": {"minReplicas": 20}}}, "minReplicas"),
    ({"backup": {"enabled": True, "destination": "s3"}}, "bucket"),
    ({"memoryApi": {"drain": {"delaySeconds": 50}}}, "drain"),
    ({"monitoring": {"serviceMonitor": {"interval": "5s"}}}, "scrapeTimeout"),
    ({"monitoring": {"serviceMonitor": {"interval": "1m30s", "scrapeTimeout": "91s"}}}, "scrapeTimeout is 91s"),
]


@pytest.mark.parametrize(("tree", "word"), TOGETHER, ids=[w for _, w in TOGETHER])
def test_s002_values_that_do_not_work_together_are_refused_with_help(tree, word, engine):
    said = refusal(EXPLICIT, tree, engine=engine)
    assert word in said
    assert "nil pointer" not in said


def test_s056_numbers_that_set_makes_of_words(engine):
    """`--set postgresql.image.tag=17` gives a number, and a file of values gives a float."""
    sets = ["postgresql.image.tag=17", "backup.image.tag=16", "redis.auth.password=123456789012", "image.tag=20261130"]
    for tree, given in (
        ({}, sets),
        (
            {
                "postgresql": {"image": {"tag": 17}},
                "backup": {"image": {"tag": 16}},
                "redis": {"auth": {"password": 123456789012}},
                "image": {"tag": 20261130},
            },
            [],
        ),
    ):
        objects = render(tree, {"backup": {"enabled": True}}, sets=given, engine=engine)
        images = {c["image"] for _, pod in objects.pods() for c in pod["spec"]["containers"]}
        assert {"docker.io/postgres:17", "ghcr.io/dreamsoft-pro/rae-memory:20261130"} <= images
        (backup,) = objects.component("backup", "CronJob")
        assert "docker.io/postgres:16" in {c["image"] for c in containers(pod_of(backup))}
        (generated,) = objects.of("Secret")
        kept = base64.b64decode((generated.get("data") or {}).get("redis-password", "")).decode()
        assert (kept or generated["stringData"]["redis-password"]) == "123456789012"


def test_s002_a_scrape_may_take_the_whole_interval():
    scrape = {"monitoring": {"serviceMonitor": {"interval": "1m30s", "scrapeTimeout": "90s"}}}
    assert render(EXPLICIT, scrape).of("ServiceMonitor")


def test_s002_the_schema_knows_every_value():
    """A key of values.yaml that the schema leaves out could be misspelt unseen; the schema's keys must exist, too."""
    from support import values

    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(tree: dict, node: dict, path: str) -> None:
        known = node.get("properties")
        if not known or not isinstance(tree, dict):
            return
        for key, value in tree.items():
            closed = node.get("additionalProperties") is False
            assert key in known or not closed, f"{path}{key} is not in the schema"
            if key in known:
                compare(value, known[key], f"{path}{key}.")

    compare(values(), schema, "")
    for section in ("memoryApi", "postgresql", "ingress", "monitoring", "networkPolicy", "cost"):
        assert schema["properties"][section]["additionalProperties"] is False
