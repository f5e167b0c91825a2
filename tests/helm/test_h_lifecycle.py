"""Section 1.H: upgrade, rollback, uninstall. tests/helm/cluster does the same on a real control plane."""

from __future__ import annotations

import re

import pytest
import yaml
from support import (
    CHART,
    CI_FILES,
    EXPLICIT,
    HERE,
    PROGRAMS,
    annotations,
    containers,
    documents,
    env_of,
    labels,
    pod_of,
    refusal,
    render,
    render_text,
)

GOLDEN = sorted((HERE / "golden").glob("*.yaml"))
# What the API server refuses to change, by kind.
IMMUTABLE = {
    "Deployment": [("spec", "selector")],
    "StatefulSet": [("spec", "selector"), ("spec", "serviceName"), ("spec", "podManagementPolicy")],
    "Service": [("spec", "clusterIP")],
    "PersistentVolumeClaim": [("spec", "accessModes"), ("spec", "storageClassName"), ("spec", "volumeName")],
    "RoleBinding": [("roleRef",)],
    "Secret": [("type",)],
}
OLD_NEW = [
    ({}, {"memoryApi": {"replicaCount": 5}, "image": {"tag": "9.9.9"}, "commonLabels": {"team": "a"}}),
    ({}, {"cost": {"defaultDailyLimit": 1}, "networkPolicy": {"enabled": False}, "monitoring": {"enabled": False}}),
    ({"qdrant": {"apiKey": {"enabled": False}}}, {"qdrant": {"apiKey": {"enabled": True}}}),
    (
        {"commonLabels": {"a": "1"}, "commonAnnotations": {"b": "1"}},
        {"commonLabels": {"a": "2"}, "commonAnnotations": {"b": "2"}},
    ),
]


def at(o: dict, path: tuple[str, ...]):
    for key in path:
        o = (o or {}).get(key)
    return o


def fixed(o: dict) -> dict:
    """The part of an object that an upgrade may not change."""
    parts = {".".join(path): at(o, path) for path in IMMUTABLE.get(o["kind"], [])}
    if o["kind"] == "StatefulSet":
        parts["claims"] = [
            {"name": c["metadata"]["name"], "labels": labels(c), "annotations": annotations(c), "spec": c["spec"]}
            for c in o["spec"].get("volumeClaimTemplates") or []
        ]
    return parts


def is_hook(o: dict) -> bool:
    return "helm.sh/hook" in annotations(o)


def unchanged(old, new) -> None:
    for before in old:
        if before["kind"] in IMMUTABLE and not is_hook(before):
            same = [
                o for o in new if (o["kind"], o["metadata"]["name"]) == (before["kind"], before["metadata"]["name"])
            ]
            if same:
                assert fixed(same[0]) == fixed(before), (before["kind"], before["metadata"]["name"])


@pytest.mark.parametrize("number", range(len(OLD_NEW)))
def test_s079_an_upgrade_and_its_rollback_touch_no_immutable_field(number):
    old, new = (render(EXPLICIT, tree) for tree in OLD_NEW[number])
    assert {k for k, _ in old.names()} >= {"Deployment", "StatefulSet", "PersistentVolumeClaim"}
    unchanged(old, new)
    unchanged(new, old)


def test_s079_selectors_have_no_version(engine):
    for o in render(EXPLICIT, {"commonLabels": {"team": "a"}}, engine=engine).of("Deployment", "StatefulSet"):
        assert o["spec"]["selector"]["matchLabels"].keys() == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
        }
        assert o["spec"]["selector"]["matchLabels"].items() <= pod_of(o)["metadata"]["labels"].items()
        for claim in o["spec"].get("volumeClaimTemplates") or []:
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels(claim).keys()


@pytest.mark.parametrize("file", GOLDEN, ids=lambda f: f.stem)
def test_s079_stored_versions_can_be_upgraded_to_this_one(file):
    """Every published version's render lies in golden/; scripts/helm_tests.sh --store adds one."""
    old = documents(file.read_text())
    assert len(old) > 30
    unchanged(old, render(EXPLICIT))
    # Volumes of old versions must still be used by the same workloads.
    new = render(EXPLICIT)
    for claim in old.of("PersistentVolumeClaim"):
        assert new.has("PersistentVolumeClaim", claim["metadata"]["name"])


def test_s079_this_version_is_stored():
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    stored = HERE / "golden" / f"{version}.yaml"
    assert stored.exists(), f"scripts/helm_tests.sh --store writes {stored.name}"
    assert documents(stored.read_text()).names() == render(EXPLICIT).names(), (
        "scripts/helm_tests.sh --store writes it anew"
    )


def test_s080_volumes_and_generated_secret_survive_an_uninstall():
    objects = render(sets=["backup.enabled=true", "mlService.modelCache.persistence.enabled=true"])
    for claim in objects.of("PersistentVolumeClaim"):
        if claim["metadata"]["name"] != "rae-memory-ml-service-models":
            keeps = annotations(claim).get("helm.sh/resource-policy") == "keep"
            is_cache = labels(claim).get("app.kubernetes.io/component") == "ml-service"
            assert keeps or is_cache, claim["metadata"]["name"]
    generated = [o for o in objects.of("Secret") if annotations(o).get("helm.sh/resource-policy") == "keep"]
    assert len(generated) == 1
    # Nothing else is kept: `helm uninstall` removes it.
    for o in objects:
        if o["kind"] not in ("PersistentVolumeClaim", "Secret"):
            assert "helm.sh/resource-policy" not in annotations(o), (o["kind"], o["metadata"]["name"])
    off = render(sets=["generatedSecret.keep=false", "postgresql.primary.persistence.retention=Delete"])
    assert not [o for o in off.of("Secret") if "helm.sh/resource-policy" in annotations(o)]
    assert "helm.sh/resource-policy" not in annotations(off.component("postgresql", "PersistentVolumeClaim")[0])


def test_s080_hooks_clean_up_behind_themselves():
    for o in render(EXPLICIT, files=[f for f in CI_FILES if "all-on" in f.stem]):
        if is_hook(o):
            assert "helm.sh/hook-delete-policy" in annotations(o), o["metadata"]["name"]


def test_s081_the_generated_passwords_are_looked_up_first():
    """Without a cluster there is nothing to look up, so every render has new ones; tests/helm/cluster upgrades for real."""
    first, second = render_text(), render_text(arguments=["--no-hooks"])
    assert first != second
    (secret,) = documents(first).of("Secret")
    assert secret["metadata"]["name"].startswith("rae-memory")
    values = {**(secret.get("data") or {}), **(secret.get("stringData") or {})}
    assert len(values) == 3, sorted(values)
    assert len(set(values.values())) == 3
    assert all(len(v) >= 24 for v in values.values())
    templates = "".join(t.read_text() for t in (CHART / "templates").rglob("*") if t.is_file())
    assert re.search(r'lookup "v1" "Secret"', templates)


def test_s081_pods_do_not_roll_for_what_is_random():
    """Else every render without a cluster, as GitOps makes them, would restart everything."""
    one, two = documents(render_text()), documents(render_text(arguments=["--no-hooks"]))
    for component in ("api", "celery-worker", "ml-service", "reranker", "postgresql", "redis", "qdrant"):
        assert pod_of(one.workload(component)) == pod_of(two.workload(component)), component


@pytest.mark.parametrize("file", [None, *CI_FILES], ids=lambda f: f.stem if f else "none")
def test_s082_with_explicit_secrets_two_renders_are_the_same_bytes(file):
    from support import helm

    arguments = ["template", "rae-memory", CHART, "-n", "rae-memory", "--values", "-"]
    arguments += ["--values", file] if file else []
    import json

    for engine in PROGRAMS:
        one, two = (helm(*arguments, engine=engine, stdin=json.dumps(EXPLICIT)) for _ in range(2))
        assert one == two


def test_s079_pods_are_handed_over_without_a_gap():
    objects = render(EXPLICIT)
    for component in ("api", "ml-service", "reranker", "celery-worker"):
        workload = objects.workload(component)
        assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, component
        for container in pod_of(workload)["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert probe in container, (component, probe)
    # Two processes on one volume would spoil it.
    for component in ("postgresql", "redis"):
        assert objects.workload(component)["spec"]["strategy"] == {"type": "Recreate"}
        assert objects.workload(component)["spec"]["replicas"] == 1


def test_s079_every_container_has_resources_and_a_pinned_image():
    for owner, pod in render(EXPLICIT, files=[f for f in CI_FILES if "all-on" in f.stem]).pods():
        for container in containers(pod):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, (owner, container["name"])
            assert "memory" in container["resources"]["limits"], (owner, container["name"])
            image = container["image"]
            assert "@sha256:" in image or re.search(r":[\w.-]+$", image), image
            assert not image.endswith(":latest"), image


def backup(*trees, **options) -> dict:
    return render(EXPLICIT, {"backup": {"enabled": True}}, *trees, **options).get("CronJob", "rae-memory-backup")


def dump_of(cron: dict) -> dict:
    return pod_of(cron)["spec"]["initContainers"][0]


def test_a_backup_that_failed_in_part_is_not_made_again_in_the_same_night():
    """The dump is kept where Qdrant does not answer; each further try would keep one more, and remove an older backup for it."""
    assert backup()["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0


def test_a_backup_has_the_certificate_that_its_database_is_checked_by(engine):
    mounts = {
        "extraVolumes": [{"name": "db-ca", "configMap": {"name": "rae-db-ca"}}],
        "extraVolumeMounts": [{"name": "db-ca", "mountPath": "/etc/rae", "readOnly": True}],
    }
    external = next(f for f in CI_FILES if "external" in f.stem)
    cron = backup({"backup": mounts}, files=[external], engine=engine)
    assert env_of(dump_of(cron))["PGSSLROOTCERT"] == "/etc/rae/db-ca.pem"
    for container in containers(pod_of(cron)):
        assert mounts["extraVolumeMounts"][0] in container["volumeMounts"], container["name"]
    assert mounts["extraVolumes"][0] in pod_of(cron)["spec"]["volumes"]
    # pg_dump has no list of its own, as the server has.
    without = {"externalDatabase": {"sslRootCert": ""}, "backup": {"enabled": True}}
    assert "sslRootCert" in refusal(EXPLICIT, without, files=[external])
    render(EXPLICIT, without, {"externalDatabase": {"sslMode": "require"}}, files=[external])
    wrong = {"backup": {"enabled": True, "extraVolumeMounts": mounts["extraVolumeMounts"]}}
    assert "db-ca" in refusal(EXPLICIT, wrong)


def test_a_tag_for_the_backup_is_not_hidden_by_the_digest_of_postgresql():
    digest = {"postgresql": {"image": {"digest": "sha256:" + "1" * 64}}}
    assert dump_of(backup(digest))["image"] == "docker.io/postgres@sha256:" + "1" * 64
    assert dump_of(backup(digest, {"backup": {"image": {"tag": "18"}}}))["image"] == "docker.io/postgres:18"
    own = {"backup": {"image": {"tag": "18", "digest": "sha256:" + "2" * 64}}}
    assert dump_of(backup(digest, own))["image"] == "docker.io/postgres@sha256:" + "2" * 64
