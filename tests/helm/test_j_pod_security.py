"""Section 1.J: Pod Security `restricted`, judged by the evaluator of the API server itself (tools/psacheck)."""

from __future__ import annotations

import pytest
import seed
import yaml
from support import (
    CHART,
    CI_FILES,
    COMPONENTS,
    EXPLICIT,
    RAE_COMPONENTS,
    STORES,
    containers,
    env_of,
    main_container,
    pod_of,
    psa,
    render,
    render_text,
)

ALL_ON = [f for f in CI_FILES if "all-on" in f.stem]
VALUES = [None, CHART / "values-production.yaml", CHART / "values-development.yaml", *CI_FILES]


@pytest.mark.parametrize("file", VALUES, ids=lambda f: f.stem if f else "none")
@pytest.mark.parametrize("version", ["latest", "v1.25"])
def test_s097_every_pod_is_admitted(file, version):
    text = render_text(EXPLICIT, files=[file] if file else [])
    verdicts = psa(text, version=version)
    assert len(verdicts) == len(list(render(EXPLICIT, files=[file] if file else []).pods()))
    assert len(verdicts) >= 3
    assert [v for v in verdicts if not v["allowed"]] == []


def test_s097_hooks_tests_and_schedules_are_among_them():
    kinds = {v["pod"].split("/")[0] for f in ALL_ON for v in psa(render_text(EXPLICIT, files=[f]))}
    assert kinds >= {"Deployment", "StatefulSet", "CronJob", "Pod"}
    job = psa(render_text(EXPLICIT, sets=["migrations.mode=job"]))
    assert "Job" in {v["pod"].split("/")[0] for v in job}


def test_s097_the_evaluator_itself_can_say_no():
    bad = render_text(EXPLICIT, sets=["securityContext.allowPrivilegeEscalation=true"])
    assert [v for v in psa(bad) if not v["allowed"]]
    root = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    (verdict,) = psa(yaml.safe_dump(root))
    assert not verdict["allowed"]
    assert len(verdict["reasons"]) >= 4


def test_s098_pods_of_rae_run_as_1000():
    for owner, pod in render(EXPLICIT, files=ALL_ON).pods():
        context = pod["spec"]["securityContext"]
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert context["runAsNonRoot"] is True, owner
        if component not in ("postgresql", "redis", "backup"):
            assert context["runAsUser"] == 1000, owner
            assert context["fsGroup"] == 1000, owner
        for container in containers(pod):
            inner = container["securityContext"]
            assert inner.get("runAsUser", 1) != 0, owner
            assert inner.get("runAsNonRoot", True) is True, owner


def test_s099_roots_are_read_only_and_written_paths_are_volumes():
    for owner, pod in render(EXPLICIT, files=ALL_ON).pods():
        volumes = {v["name"]: v for v in pod["spec"].get("volumes") or []}
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (owner, container["name"])
            mounts = {m["mountPath"]: m["name"] for m in container.get("volumeMounts") or []}
            for path, name in mounts.items():
                claimed = pod["spec"].get("volumes") and name in volumes
                assert claimed or owner.startswith("StatefulSet/"), (owner, path)
    for component in RAE_COMPONENTS:
        workload = render(EXPLICIT).workload(component)
        mounts = {m["mountPath"]: m["name"] for m in main_container(workload)["volumeMounts"]}
        assert "/tmp" in mounts, component
        volumes = {v["name"]: v for v in pod_of(workload)["spec"]["volumes"]}
        assert "emptyDir" in volumes[mounts["/tmp"]], component


def test_s099_each_path_that_the_server_is_told_to_write_is_writable():
    from support import resolve
    from test_d_cost import SECRETS

    for component in RAE_COMPONENTS:
        objects = render(EXPLICIT)
        container = main_container(objects.workload(component))
        writable = [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
        seen = resolve(container, objects, SECRETS)
        for name in ("RAE_DATA_DIR", "RAE_MODEL_CACHE", "TMPDIR", "HOME"):
            if name in seen:
                assert any(seen[name] == p or seen[name].startswith(p + "/") for p in writable), (component, name)


@pytest.mark.parametrize("component", COMPONENTS)
def test_s100_nothing_can_be_gained(component):
    pod = pod_of(render(EXPLICIT).workload(component))
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context.get("privileged")
    for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        assert not pod["spec"].get(field)
    assert not [v for v in pod["spec"].get("volumes") or [] if "hostPath" in v]


def test_s100_the_documents_features_are_named_in_the_readme():
    features = [line[2:] for line in seed.section("Pod Security Standards").splitlines() if line.startswith("- ")]
    assert "Seccomp profile enabled" in features
    assert len(features) == 5


def test_s101_stores_run_as_the_users_of_the_official_images():
    objects = render(EXPLICIT)
    users = {c: pod_of(objects.workload(c))["spec"]["securityContext"] for c in STORES}
    assert {c: u["runAsUser"] for c, u in users.items()} == {"postgresql": 999, "redis": 999, "qdrant": 1000}
    assert {c: u["fsGroup"] for c, u in users.items()} == {"postgresql": 999, "redis": 999, "qdrant": 1000}
    images = {c: main_container(objects.workload(c))["image"] for c in STORES}
    assert images["postgresql"].split("/")[-1].startswith("postgres:17")
    assert "alpine" not in images["postgresql"], "the user of that variant is 70"
    assert "alpine" not in images["redis"]
    assert images["redis"].split("/")[-1].startswith("redis:")
    assert images["qdrant"].split(":")[0].endswith("qdrant/qdrant")
    assert images["qdrant"].endswith("-unprivileged")
    # No init container of root's may give the volumes away.
    for component in STORES:
        for init in pod_of(objects.workload(component))["spec"].get("initContainers") or []:
            assert "chown" not in str(init)


def test_s101_postgresql_has_what_it_must_write():
    workload = render(EXPLICIT).workload("postgresql")
    container = main_container(workload)
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod_of(workload)["spec"]["volumes"]}
    for path in ("/var/run/postgresql", "/tmp"):
        assert "emptyDir" in volumes[mounts[path]], path
    data = env_of(container)["PGDATA"]
    mounted = [m for m in mounts if data.startswith(m + "/")]
    assert mounted, "the data lie in a folder below the mount, as that has a lost+found"
    assert "persistentVolumeClaim" in volumes[mounts[mounted[0]]]


def test_s101_qdrant_and_redis_have_what_they_must_write():
    qdrant = main_container(render(EXPLICIT).workload("qdrant"))
    assert "/qdrant/storage" in {m["mountPath"] for m in qdrant["volumeMounts"]}
    text = str(qdrant) + str(render(EXPLICIT).component("qdrant", "ConfigMap"))
    # The snapshots' default folder lies on the read-only root.
    assert "/qdrant/snapshots" in {m["mountPath"] for m in qdrant["volumeMounts"]} or "snapshots_path" in text
    redis = main_container(render(EXPLICIT).workload("redis"))
    assert "/data" in {m["mountPath"] for m in redis["volumeMounts"]}
