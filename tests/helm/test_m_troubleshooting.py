"""Section 1.M: the commands of the chapter on troubleshooting, matched against what is rendered."""

from __future__ import annotations

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
