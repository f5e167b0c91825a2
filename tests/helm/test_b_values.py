"""Sections 1.B and 1.C: every documented value has its documented default and reaches the objects; the two examples."""

from __future__ import annotations

import re

import pytest
import seed
import yaml
from support import (
    CHART,
    EXPLICIT,
    RELEASE,
    annotations,
    config,
    env_of,
    lookup,
    main_container,
    merge,
    pod_of,
    render,
    values,
)

# Number of the check -> the key of the documents' tables, with the default that the specification gives.
DEFAULTS: dict[int, list[tuple[str, object]]] = {
    12: [("memoryApi.replicaCount", 2)],
    13: [("memoryApi.resources.requests.memory", "1Gi")],
    14: [("memoryApi.resources.requests.cpu", "500m")],
    15: [("memoryApi.autoscaling.enabled", True)],
    16: [("memoryApi.autoscaling.minReplicas", 2)],
    17: [("memoryApi.autoscaling.maxReplicas", 10)],
    18: [("mlService.replicaCount", 2)],
    19: [("mlService.resources.requests.memory", "2Gi")],
    20: [("mlService.resources.requests.cpu", "1000m")],
    21: [("postgresql.enabled", True)],
    22: [("postgresql.auth.username", "rae")],
    23: [("postgresql.primary.persistence.size", "20Gi")],
    24: [("redis.enabled", True), ("redis.auth.enabled", True)],
    25: [("redis.master.persistence.size", "8Gi")],
    26: [("qdrant.enabled", True), ("qdrant.persistence.size", "50Gi")],
    27: [("ingress.enabled", True), ("ingress.className", "nginx")],
    28: [("ingress.hosts.0.host", "rae-api.example.com")],
    29: [("cost.enableTracking", True)],
    30: [("cost.defaultDailyLimit", 10.00)],
    31: [("cost.defaultMonthlyLimit", 100.00)],
    32: [("cost.warningThreshold", 0.8)],
    33: [("celeryWorker.enabled", True)],
    34: [("celeryWorker.replicaCount", 2)],
    35: [("celeryWorker.concurrency", 4)],
    36: [("celeryWorker.maxTasksPerChild", 1000)],
    37: [("celeryWorker.autoscaling.enabled", True)],
    38: [("externalSecrets.enabled", False)],
    39: [("externalSecrets.secretStore", "aws-secrets-manager")],
    40: [("externalSecrets.refreshInterval", "1h")],
    41: [("monitoring.enabled", True)],
    42: [("monitoring.serviceMonitor.enabled", True)],
    43: [("monitoring.serviceMonitor.interval", "30s")],
    44: [("monitoring.grafanaDashboard.enabled", True)],
    45: [("networkPolicy.enabled", True)],
    46: [("podSecurityContext.runAsNonRoot", True), ("podSecurityContext.runAsUser", 1000)],
    47: [("securityContext.readOnlyRootFilesystem", True)],
}


def documented(number: int) -> None:
    """The default of values.yaml is that of the specification and that of the user's own table."""
    for key, expected in DEFAULTS[number]:
        assert lookup(values(), key) == expected, key
        cell = seed.table()[re.sub(r"\.(\d+)\b", r"[\1]", key)]
        assert yaml.safe_load(cell) == expected, (key, cell)


def test_s012_to_s047_leave_out_no_row_of_the_documents_tables():
    rows = {re.sub(r"\.(\d+)\b", r"[\1]", key) for pairs in DEFAULTS.values() for key, _ in pairs}
    assert rows == set(seed.table())
    readme = (CHART / "README.md").read_text()
    for row in rows:
        assert f"`{row}`" in readme, row


def scaled(component: str, **trees) -> tuple[dict, dict | None]:
    objects = render(EXPLICIT, trees)
    found = objects.component(component, "HorizontalPodAutoscaler")
    return objects.workload(component), found[0]["spec"] if found else None


def test_s012_api_replicas():
    documented(12)
    off = {"autoscaling": {"enabled": False}}
    assert scaled("api", memoryApi=off)[0]["spec"]["replicas"] == 2
    assert scaled("api", memoryApi={**off, "replicaCount": 7})[0]["spec"]["replicas"] == 7
    assert scaled("api", memoryApi={**off, "replicaCount": 0})[0]["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("number", "component", "key", "resource"),
    [
        (13, "api", "memoryApi", "memory"),
        (14, "api", "memoryApi", "cpu"),
        (19, "ml-service", "mlService", "memory"),
        (20, "ml-service", "mlService", "cpu"),
    ],
    ids=lambda v: str(v),
)
def test_s013_s014_s019_s020_requests(number, component, key, resource):
    documented(number)
    default = lookup(values(), f"{key}.resources.requests.{resource}")
    requests = main_container(render(EXPLICIT).workload(component))["resources"]["requests"]
    assert requests[resource] == default
    changed = {key: {"resources": {"requests": {resource: "123"}}}}
    assert main_container(render(EXPLICIT, changed).workload(component))["resources"]["requests"][resource] == "123"


def test_s015_api_autoscaling_on_and_off():
    documented(15)
    deployment, scaler = scaled("api")
    assert "replicas" not in deployment["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rae-memory-api"}
    deployment, scaler = scaled("api", memoryApi={"autoscaling": {"enabled": False}})
    assert scaler is None
    assert deployment["spec"]["replicas"] == 2


def test_s016_api_min_replicas():
    documented(16)
    assert scaled("api")[1]["minReplicas"] == 2
    assert scaled("api", memoryApi={"autoscaling": {"minReplicas": 4}})[1]["minReplicas"] == 4


def test_s017_api_max_replicas():
    documented(17)
    assert scaled("api")[1]["maxReplicas"] == 10
    assert scaled("api", memoryApi={"autoscaling": {"maxReplicas": 44}})[1]["maxReplicas"] == 44


def test_s018_ml_replicas():
    documented(18)
    deployment, scaler = scaled("ml-service")
    assert deployment["spec"]["replicas"] == 2
    assert scaler is None
    assert scaled("ml-service", mlService={"replicaCount": 1})[0]["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("number", "key", "component"),
    [(21, "postgresql", "postgresql"), (24, "redis", "redis"), (26, "qdrant", "qdrant")],
)
def test_s021_s024_s026_a_store_can_be_left_out(number, key, component):
    documented(number)
    assert render(EXPLICIT).component(component, "Deployment", "StatefulSet")
    without = render(EXPLICIT, {key: {"enabled": False}})
    assert [o["kind"] for o in without if o["metadata"]["name"].startswith(f"{RELEASE}-{component}")] == []
    assert without.component(component) == []


def test_s022_postgresql_user():
    documented(22)
    for name in ("rae", "someone"):
        objects = render(EXPLICIT, sets=[f"postgresql.auth.username={name}"])
        assert env_of(main_container(objects.workload("postgresql")))["POSTGRES_USER"] == name
        for component in ("api", "celery-worker"):
            variables = env_of(main_container(objects.workload(component))) | config(objects)
            assert variables["PGUSER"] == name, component


def size_of(objects, component: str) -> str:
    for claim in objects.component(component, "PersistentVolumeClaim"):
        return claim["spec"]["resources"]["requests"]["storage"]
    (claim,) = objects.workload(component)["spec"]["volumeClaimTemplates"]
    return claim["spec"]["resources"]["requests"]["storage"]


@pytest.mark.parametrize(
    ("number", "key", "component"),
    [
        (23, "postgresql.primary.persistence.size", "postgresql"),
        (25, "redis.master.persistence.size", "redis"),
        (26, "qdrant.persistence.size", "qdrant"),
    ],
)
def test_s023_s025_s026_sizes_of_volumes(number, key, component):
    documented(number)
    assert size_of(render(EXPLICIT), component) == lookup(values(), key)
    assert size_of(render(EXPLICIT, sets=[f"{key}=77Gi"]), component) == "77Gi"


def test_s024_redis_asks_for_a_password_unless_told_not_to():
    on = render(EXPLICIT)
    off = render(EXPLICIT, sets=["redis.auth.enabled=false"])
    assert "REDISCLI_AUTH" in env_of(main_container(on.workload("redis")))
    assert "REDISCLI_AUTH" not in env_of(main_container(off.workload("redis")))
    assert "REDIS_PASSWORD" in env_of(main_container(on.workload("api")))
    assert "REDIS_PASSWORD" not in env_of(main_container(off.workload("api")))


def test_s027_ingress_and_its_class():
    documented(27)
    ingress = render(EXPLICIT).get("Ingress", "rae-memory-api")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert "kubernetes.io/ingress.class" not in annotations(ingress)
    other = render(EXPLICIT, sets=["ingress.className=traefik"]).get("Ingress", "rae-memory-api")
    assert other["spec"]["ingressClassName"] == "traefik"
    assert not render(EXPLICIT, sets=["ingress.enabled=false"]).of("Ingress")


def test_s028_ingress_host():
    documented(28)
    assert render(EXPLICIT).get("Ingress", "rae-memory-api")["spec"]["rules"][0]["host"] == "rae-api.example.com"
    changed = render(EXPLICIT, sets=["ingress.hosts[0].host=a.example.org", "ingress.hosts[0].paths[0].path=/"])
    assert [r["host"] for r in changed.get("Ingress", "rae-memory-api")["spec"]["rules"]] == ["a.example.org"]


@pytest.mark.parametrize(
    ("number", "key", "variable", "default", "given", "expected"),
    [
        (29, "enableTracking", "ENABLE_COST_TRACKING", "true", "false", "false"),
        (30, "defaultDailyLimit", "DEFAULT_DAILY_LIMIT", "10.00", "12.5", "12.50"),
        (31, "defaultMonthlyLimit", "DEFAULT_MONTHLY_LIMIT", "100.00", "1000000", "1000000.00"),
        (32, "warningThreshold", "BUDGET_WARNING_THRESHOLD", "0.8", "0.95", "0.95"),
    ],
)
def test_s029_to_s032_cost_settings(number, key, variable, default, given, expected):
    documented(number)
    assert config(render(EXPLICIT))[variable] == default
    assert config(render(EXPLICIT, sets=[f"cost.{key}={given}"]))[variable] == expected


def test_s033_to_s037_worker_settings():
    for number in range(33, 38):
        documented(number)
    assert render(EXPLICIT).has("Deployment", "rae-memory-celery-worker")
    off = {"autoscaling": {"enabled": False}}
    assert scaled("celery-worker", celeryWorker=off)[0]["spec"]["replicas"] == 2
    assert scaled("celery-worker", celeryWorker={**off, "replicaCount": 9})[0]["spec"]["replicas"] == 9
    assert scaled("celery-worker")[1] is not None
    assert scaled("celery-worker", celeryWorker=off)[1] is None


def test_s038_to_s040_external_secrets_settings():
    for number in (38, 39, 40):
        documented(number)
    assert not render(EXPLICIT).of("ExternalSecret")
    (one,) = render(EXPLICIT, sets=["externalSecrets.enabled=true"]).of("ExternalSecret")
    assert one["spec"]["refreshInterval"] == "1h"
    assert one["spec"]["secretStoreRef"]["name"] == "aws-secrets-manager"


def test_s041_to_s044_monitoring_settings():
    for number in (41, 42, 43, 44):
        documented(number)
    objects = render(EXPLICIT)
    (monitor,) = objects.of("ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["interval"] == "30s"
    none = render(EXPLICIT, sets=["monitoring.enabled=false"])
    assert not none.of("ServiceMonitor", "PodMonitor", "PrometheusRule")
    assert not [n for k, n in none.names() if "dashboard" in n]


def test_s045_network_policies_are_on():
    documented(45)
    assert len(render(EXPLICIT).of("NetworkPolicy")) >= 7


def test_s046_and_s048_pods_run_as_the_documented_user():
    documented(46)
    context = values()["podSecurityContext"]
    assert context["fsGroup"] == 1000
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    objects = render(EXPLICIT)
    for component in ("api", "celery-worker", "ml-service", "reranker"):
        context = pod_of(objects.workload(component))["spec"]["securityContext"]
        shown = seed.values("Pod Security Standards")["podSecurityContext"]
        assert shown.items() <= context.items(), component
    other = render(EXPLICIT, sets=["podSecurityContext.runAsUser=4711"])
    assert pod_of(other.workload("api"))["spec"]["securityContext"]["runAsUser"] == 4711


def test_s047_containers_have_the_documented_context():
    documented(47)
    shown = seed.values("Pod Security Standards")["securityContext"]
    assert shown == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    for component in ("api", "celery-worker", "ml-service", "reranker"):
        context = main_container(render(EXPLICIT).workload(component))["securityContext"]
        assert shown.items() <= context.items(), component


def test_s048_values_that_are_shown_without_a_row():
    tree = values()
    behaviour = seed.values("Celery Workers")["celeryWorker"]["autoscaling"]
    assert behaviour.items() <= tree["celeryWorker"]["autoscaling"].items()
    assert tree["networkPolicy"]["policyTypes"] == seed.values("Network Policies")["networkPolicy"]["policyTypes"]
    shown = seed.values("External Secrets Operator")["externalSecrets"]
    assert shown.pop("enabled") is True
    assert {k: tree["externalSecrets"][k] for k in shown} == shown
    assert tree["serviceAccount"]["create"] is True
    assert tree["serviceAccount"]["annotations"] == {}
    assert tree["monitoring"]["serviceMonitor"]["relabelings"] == []
    # Each example of the document is taken as it is.
    for title in ("Enable Monitoring", "Celery Workers", "Network Policies", "Pod Security Standards", "RBAC"):
        if title in ("Enable Monitoring",):
            continue
        for block in seed.blocks(title, "yaml"):
            if "kind:" not in block:
                assert len(render(EXPLICIT, yaml.safe_load(block))) > 30, title


OPEN_DEFAULTS = {
    "memoryApi.resources.limits": {"cpu": "1000m", "memory": "2Gi"},
    "memoryApi.autoscaling.targetCPUUtilizationPercentage": 70,
    "memoryApi.autoscaling.targetMemoryUtilizationPercentage": 80,
    "mlService.resources.limits": {"cpu": "2000m", "memory": "4Gi"},
    "mlService.autoscaling.maxReplicas": 5,
    "mlService.autoscaling.targetCPUUtilizationPercentage": 80,
    "rerankerService.enabled": True,
    "rerankerService.replicaCount": 1,
    "rerankerService.service.port": 8002,
    "rerankerService.resources.requests": {"cpu": "500m", "memory": "1Gi"},
    "rerankerService.resources.limits": {"cpu": "1000m", "memory": "2Gi"},
    "celeryWorker.resources.requests": {"cpu": "500m", "memory": "1Gi"},
    "celeryWorker.resources.limits": {"cpu": "1000m", "memory": "2Gi"},
    "postgresql.auth.database": "rae_memory",
    "postgresql.primary.resources.requests": {"cpu": "500m", "memory": "1Gi"},
    "postgresql.primary.resources.limits": {"cpu": "1000m", "memory": "2Gi"},
    "redis.master.resources.requests": {"cpu": "250m", "memory": "512Mi"},
    "redis.master.resources.limits": {"cpu": "500m", "memory": "1Gi"},
    "qdrant.replicaCount": 1,
    "qdrant.resources.requests": {"cpu": "1000m", "memory": "2Gi"},
    "qdrant.resources.limits": {"cpu": "2000m", "memory": "4Gi"},
    "monitoring.serviceMonitor.scrapeTimeout": "10s",
    "secrets.keys.geminiApiKey": "gemini-api-key",
    "secrets.keys.jwtSecret": "jwt-secret",
    "secrets.keys.apiMasterKey": "api-master-key",
}


@pytest.mark.parametrize("key", OPEN_DEFAULTS)
def test_s049_defaults_of_the_original(key):
    assert lookup(values(), key) == OPEN_DEFAULTS[key]


def test_s049_resources_reach_the_containers():
    keys = {
        "api": "memoryApi",
        "ml-service": "mlService",
        "reranker": "rerankerService",
        "celery-worker": "celeryWorker",
        "postgresql": "postgresql.primary",
        "redis": "redis.master",
        "qdrant": "qdrant",
    }
    objects = render(EXPLICIT)
    for component, key in keys.items():
        assert main_container(objects.workload(component))["resources"] == lookup(values(), f"{key}.resources")


@pytest.mark.parametrize(
    ("number", "title", "file"),
    [
        (50, "Production Configuration", "values-production.yaml"),
        (51, "Development Configuration", "values-development.yaml"),
    ],
)
def test_s050_s051_the_shipped_files_say_what_the_documents_examples_say(number, title, file):
    shown = seed.values(title)
    shipped = yaml.safe_load((CHART / file).read_text())
    assert merge(shipped, shown) == shipped, "an example's value is missing, or another one"


@pytest.mark.parametrize("shipped", [False, True], ids=["as documented", "as shipped"])
def test_s050_production(shipped, engine):
    trees = [] if shipped else [seed.values("Production Configuration")]
    files = [CHART / "values-production.yaml"] if shipped else []
    objects = render(EXPLICIT, *trees, files=files, engine=engine)
    api, ml = objects.workload("api"), objects.workload("ml-service")
    assert "replicas" not in api["spec"]
    resources = {"limits": {"cpu": "2000m", "memory": "4Gi"}, "requests": {"cpu": "1000m", "memory": "2Gi"}}
    assert main_container(api)["resources"] == resources
    (scaler,) = objects.component("api", "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (5, 20)
    cpu = next(m["resource"] for m in scaler["spec"]["metrics"] if m["resource"]["name"] == "cpu")
    assert cpu["target"] == {"type": "Utilization", "averageUtilization": 60}
    if not objects.component("ml-service", "HorizontalPodAutoscaler"):
        assert ml["spec"]["replicas"] == 3
    resources = {"limits": {"cpu": "4000m", "memory": "8Gi"}, "requests": {"cpu": "2000m", "memory": "4Gi"}}
    assert main_container(ml)["resources"] == resources
    assert size_of(objects, "postgresql") == "100Gi"
    assert main_container(objects.workload("postgresql"))["resources"]["limits"] == {"memory": "4Gi", "cpu": "2000m"}
    assert size_of(objects, "qdrant") == "200Gi"
    assert main_container(objects.workload("qdrant"))["resources"]["limits"] == {"memory": "8Gi", "cpu": "4000m"}
    ingress = objects.get("Ingress", "rae-memory-api")
    wanted = {"cert-manager.io/cluster-issuer": "letsencrypt-prod", "nginx.ingress.kubernetes.io/rate-limit": "1000"}
    assert wanted.items() <= annotations(ingress).items()
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "api.rae.prod.example.com"
    assert [(p["path"], p["pathType"]) for p in rule["http"]["paths"]] == [("/", "Prefix")]
    assert ingress["spec"]["tls"] == [{"secretName": "rae-prod-tls", "hosts": ["api.rae.prod.example.com"]}]


@pytest.mark.parametrize("shipped", [False, True], ids=["as documented", "as shipped"])
def test_s051_development(shipped, engine):
    trees = [] if shipped else [seed.values("Development Configuration")]
    files = [CHART / "values-development.yaml"] if shipped else []
    objects = render(EXPLICIT, *trees, files=files, engine=engine)
    api = objects.workload("api")
    assert api["spec"]["replicas"] == 1
    assert not objects.component("api", "HorizontalPodAutoscaler")
    resources = {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "250m", "memory": "512Mi"}}
    assert main_container(api)["resources"] == resources
    assert objects.workload("ml-service")["spec"]["replicas"] == 1
    assert not objects.component("ml-service", "HorizontalPodAutoscaler")
    sizes = {component: size_of(objects, component) for component in ("postgresql", "redis", "qdrant")}
    assert sizes == {"postgresql": "10Gi", "redis": "2Gi", "qdrant": "10Gi"}
    ingress = objects.get("Ingress", "rae-memory-api")["spec"]
    assert [r["host"] for r in ingress["rules"]] == ["rae-dev.local"]
    assert "tls" not in ingress
    # One pod and a budget of disruptions that allows none would hold up every drain of a node.
    for budget in objects.of("PodDisruptionBudget"):
        assert budget["spec"].get("minAvailable", 0) == 0 or budget["spec"].get("maxUnavailable")


def test_s051_an_empty_list_replaces_tls():
    tls = [{"secretName": "a", "hosts": ["b.example.org"]}]
    assert render(EXPLICIT, {"ingress": {"tls": tls}}).get("Ingress", "rae-memory-api")["spec"]["tls"] == tls
    assert "tls" not in render(EXPLICIT, {"ingress": {"tls": []}}).get("Ingress", "rae-memory-api")["spec"]
