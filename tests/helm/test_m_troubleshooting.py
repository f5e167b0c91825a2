"""Section 1.M: the commands of the chapter on troubleshooting, matched against what is rendered."""

from __future__ import annotations

import re

import pytest
import seed
from support import CHART, EXPLICIT, env_of, main_container, notes, pod_of, render


def test_s107_port_forward_and_health(engine):
    (command,) = seed.starting("kubectl", "port-forward")
    assert command[2:4] == ["svc/rae-memory-api", "8000:8000"]
    objects = render(EXPLICIT, engine=engine)
    (port,) = objects.get("Service", "rae-memory-api")["spec"]["ports"]
    assert port["port"] == 8000
    container = main_container(objects.workload("api"))
    assert (port["targetPort"], 8000) in [(p["name"], p["containerPort"]) for p in container["ports"]]
    assert ["curl", "http://localhost:8000/health"] in seed.commands()
    for probe, path in (("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")):
        assert container[probe]["httpGet"]["path"] == path
        assert container[probe]["httpGet"]["port"] == "http"


@pytest.mark.parametrize("command", seed.starting("kubectl", "logs"), ids=lambda c: c[3])
def test_s108_logs(command):
    kind, name = command[3].split("/")
    assert kind == "deployment"
    deployment = render(EXPLICIT).get("Deployment", name)
    # Without -c, kubectl takes the first container, or the one that this annotation names.
    chosen = (pod_of(deployment)["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    names = [c["name"] for c in pod_of(deployment)["spec"]["containers"]]
    assert chosen in (None, names[0])


def test_s109_psql_without_a_password_prompt():
    (command,) = [c for c in seed.starting("kubectl", "exec") if "psql" in c]
    assert command[command.index("--") + 1 :] == ["psql", "-U", "rae", "-d", "rae_memory"]
    objects = render(EXPLICIT)
    workload = objects.workload("postgresql")
    variables = env_of(main_container(workload))
    assert variables["POSTGRES_USER"] == "rae"
    assert variables["POSTGRES_DB"] == "rae_memory"
    # The image trusts its own socket unless told otherwise; and psql finds it in its default folder.
    text = str(main_container(workload)) + str(objects.component("postgresql", "ConfigMap"))
    assert "--auth-local=" not in text.replace("--auth-local=trust", "")
    assert "--auth=" not in text
    assert "local all all scram" not in " ".join(text.split())
    assert "unix_socket_directories" not in text or "/var/run/postgresql" in text
    for component in ("api", "celery-worker"):
        from support import resolve
        from test_d_cost import SECRETS

        seen = resolve(main_container(objects.workload(component)), objects, SECRETS)
        assert seen["PGDATABASE"] == "rae_memory", "the command must show the tables that are in use"


def test_s110_redis_cli_ping_with_a_password():
    (command,) = [c for c in seed.starting("kubectl", "exec") if "redis-cli" in c]
    assert command[command.index("--") + 1 :] == ["redis-cli", "ping"]
    variables = env_of(main_container(render(EXPLICIT).workload("redis")))
    assert variables["REDISCLI_AUTH"]["secretKeyRef"] == {"name": "stores", "key": "redis-password"}


@pytest.mark.parametrize("store", ["postgresql", "redis-master"])
def test_s111_exec_finds_a_deployment(store, engine):
    (command,) = [c for c in seed.starting("kubectl", "exec") if f"deployment/rae-memory-{store}" in c]
    assert command
    objects = render(EXPLICIT, engine=engine)
    deployment = objects.get("Deployment", f"rae-memory-{store}")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    claims = [v for v in pod_of(deployment)["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert len(claims) == 1


@pytest.mark.parametrize(
    ("key", "name"), [("postgresql.primary.kind", "postgresql"), ("redis.master.kind", "redis-master")]
)
def test_s111_a_stateful_set_of_the_same_name_is_a_choice(key, name, engine):
    objects = render(EXPLICIT, sets=[f"{key}=StatefulSet"], engine=engine)
    one = objects.get("StatefulSet", f"rae-memory-{name}")
    assert not objects.has("Deployment", f"rae-memory-{name}")
    assert objects.has("Service", one["spec"]["serviceName"])
    assert objects.get("Service", one["spec"]["serviceName"])["spec"]["clusterIP"] == "None"
    assert objects.has("Service", f"rae-memory-{name}")
    # The claim has one name in both kinds, so that a switch keeps the data.
    (claim,) = [
        v["persistentVolumeClaim"]["claimName"] for v in pod_of(one)["spec"]["volumes"] if "persistentVolumeClaim" in v
    ]
    deployed = pod_of(render(EXPLICIT).get("Deployment", f"rae-memory-{name}"))["spec"]["volumes"]
    assert claim in [v["persistentVolumeClaim"]["claimName"] for v in deployed if "persistentVolumeClaim" in v]
    assert objects.has("PersistentVolumeClaim", claim)
    production = render(EXPLICIT, files=[CHART / "values-production.yaml"])
    assert production.has("StatefulSet", f"rae-memory-{name}")


def test_s111_the_notes_print_the_line_that_fits(engine):
    said = notes(engine=engine)
    assert "deployment/rae-memory-postgresql" in said
    stateful = notes(sets=["postgresql.primary.kind=StatefulSet", "redis.master.kind=StatefulSet"], engine=engine)
    assert "statefulset/rae-memory-postgresql" in stateful
    assert "deployment/rae-memory-postgresql" not in stateful


README = (CHART / "README.md").read_text()
RUNBOOK = (CHART.parent.parent / "docs" / "runbooks" / "backup-restore.md").read_text()


def connections(*sets: str) -> int:
    text = render(EXPLICIT, sets=sets).get("ConfigMap", "rae-memory-postgresql-config")["data"]["postgresql.conf"]
    return int(re.search(r"^max_connections = ([0-9]+)$", text, re.M)[1])


def test_postgresql_has_connections_for_all_processes():
    """At most 10 of each process; a worker is one and so is each of its children."""
    assert connections() >= 10 * 10 + 10 * (4 + 1) * 10 + 3
    production = render(EXPLICIT, files=[CHART / "values-production.yaml"])
    scaled = production.get("HorizontalPodAutoscaler", "rae-memory-api")["spec"]["maxReplicas"]
    assert scaled == 20 and connections() >= 20 * 10 + 10 * (4 + 1) * 10 + 3
    assert connections("postgresql.primary.maxConnections=123") == 123
    said = "postgresql.primary.maxConnections"
    assert said not in notes() and said not in notes(files=[CHART / "values-production.yaml"])
    assert said in notes(sets=["postgresql.primary.maxConnections=500"])
    keda = ["celeryWorker.autoscaling.enabled=false", "celeryWorker.keda.enabled=true"]
    assert said in notes(sets=[*keda, "celeryWorker.keda.maxReplicas=50"])
    assert said not in notes(sets=["postgresql.enabled=false", "memoryApi.autoscaling.maxReplicas=500"])


@pytest.mark.parametrize(
    "tree",
    [
        {"config": {"otel": {"enabled": True, "endpoint": "http://otel-collector.observability:4318"}}},
        {"configMap": {"RAE_OLLAMA_BASE_URL": "http://ollama.models:11434"}},
        {"configMap": {"RAE_VLLM_BASE_URL": "http://vllm.models:8000/v1"}},
        {"configMap": {"RAE_JWT_ISSUER": "https://keycloak.identity/realms/rae"}},
    ],
    ids=str,
)
def test_the_notes_name_what_the_policies_shut(tree, engine):
    said = "networkPolicy.extraEgress"
    assert said not in notes()
    shown = notes(tree, engine=engine)
    assert said in shown
    assert next(v for v in ("config.otel", *tree.get("configMap", {})) if v in shown)
    assert said not in notes(tree, {"networkPolicy": {"enabled": False}})
    rule = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 4318}]}
    assert said not in notes(tree, {"networkPolicy": {"extraEgress": [rule]}})


@pytest.mark.parametrize("text", [README, RUNBOOK], ids=["README", "runbook"])
def test_a_restore_stops_keda_too(text):
    """An HPA leaves a Deployment of 0 alone; KEDA brings it back to its minimum."""
    pause = re.findall(r"^kubectl annotate (\S+) (\S+) -n rae-memory --overwrite$", text, re.M)
    again = re.findall(r"^kubectl annotate (\S+) (\S+) -n rae-memory$", text, re.M)
    name = "autoscaling.keda.sh/paused-replicas"
    assert pause == [("scaledobject/rae-memory-celery-worker", f"{name}=0")]
    assert again == [("scaledobject/rae-memory-celery-worker", f"{name}-")]
    sets = ["celeryWorker.autoscaling.enabled=false", "celeryWorker.keda.enabled=true"]
    objects = render(EXPLICIT, sets=sets, api_versions=["keda.sh/v1alpha1"])
    assert objects.has("ScaledObject", "rae-memory-celery-worker")


def test_the_readme_tells_of_rollbacks_passwords_dns_and_whose_dump():
    upgrading = README.split("\n## Upgrading\n")[1].split("\n## ")[0]
    assert "helm rollback" in upgrading and "existingSecret" in upgrading, "a rollback brings old passwords back"
    assert "--replicas=0" in upgrading, "a rollback across a change of kind"
    backup = README.split("\n## Backup and Restore\n")[1].split("\n## ")[0]
    assert "owner" in backup and "PGUSER" in backup
    assert "owner" in RUNBOOK and "PGUSER" in RUNBOOK
    trouble = README.split("\n## Troubleshooting\n")[1].split("\n## ")[0]
    assert "networkPolicy.dns" in trouble and "5353" in trouble
