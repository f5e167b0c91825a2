"""Section 1.H again: the Job of the migration, when it waits, when it is a hook, and when it is a new one."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
import yaml
from pods import UID, Stack
from support import CI_FILES, EXPLICIT, Objects, annotations, documents, main_container, merge, notes, render
from test_q_passwords import cluster, owned, secret, shown  # noqa: F401

JOB = {"migrations": {"mode": "job"}}
CORE, APPS = "/api/v1/namespaces/rae-memory", "/apis/apps/v1/namespaces/rae-memory"
HOOK = "helm.sh/hook"


def job(objects: Objects) -> dict:
    (found,) = objects.component("migrations", "Job")
    return found


def name(*trees: dict, **options) -> str:
    return job(render(EXPLICIT, JOB, *trees, **options))["metadata"]["name"]


def test_s079_where_there_is_no_release_each_change_gives_a_new_job(engine):
    """The template of a Job cannot be changed: Argo CD would meet "field is immutable"."""
    changes = [
        {},
        {"image": {"tag": "9.9.9"}},
        {"migrations": {"resources": {"limits": {"memory": "1Gi"}}}},
        {"migrations": {"extraEnv": [{"name": "A", "value": "b"}]}},
        {"commonLabels": {"team": "a"}},
        {"postgresql": {"auth": {"username": "other"}}},
        {"migrations": {"waitSeconds": 60}},
    ]
    names = [name(change, engine=engine) for change in changes]
    assert len(set(names)) == len(changes), names
    assert all(len(n) <= 63 for n in names)
    assert name(engine=engine) == name({"memoryApi": {"replicaCount": 7}}, engine=engine), "it is the same Job"


def test_s079_before_an_upgrade_the_job_has_one_name(engine):
    """A hook is deleted by its name before the next one: with another name one that failed would stay."""
    up = {"engine": engine, "arguments": ["--is-upgrade"]}
    assert name(**up) == name({"image": {"tag": "9.9.9"}}, **up) == "rae-memory-migrations"
    hook = job(render(EXPLICIT, JOB, **up))
    assert annotations(hook)[HOOK] == "pre-upgrade"
    # The server says why before Helm loses its patience.
    assert hook["spec"]["activeDeadlineSeconds"] > render_wait(hook)


def render_wait(found: dict) -> int:
    script = main_container(found)["args"][0]
    return int(script.partition("date +%s) + ")[2].partition(")")[0])


def test_s079_an_install_waits_as_long_as_the_database_may_take(engine):
    """A volume, an image, a first start: the probe of the start alone allows more than the six tries of a minute or so."""
    objects = render(EXPLICIT, JOB, engine=engine)
    found = job(objects)
    assert HOOK not in annotations(found)
    assert "activeDeadlineSeconds" not in found["spec"]
    probe = main_container(objects.workload("postgresql"))["startupProbe"]
    wanted = probe["periodSeconds"] * probe["failureThreshold"]
    assert (found["spec"]["backoffLimit"] + 1) * render_wait(found) > 2 * wanted


@pytest.fixture
def stack():
    one = Stack(render(JOB), {"rae-secrets": {}})
    yield one
    one.close()


def start(stack: Stack, **variables: str) -> subprocess.Popen:
    """The container of the Job, with the shell of this machine; what it calls rae-server is the binary."""
    container = main_container(job(stack.objects))
    env = {"PATH": f"{stack.folder}:/usr/bin:/bin", **stack.environment(container, {}), **variables}
    who = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
    command = [*container.get("command", ["rae-server"]), *container["args"]]
    place = stack.folder / "work"
    place.mkdir(exist_ok=True)
    if who:
        os.chown(place, UID, UID)
    return stack.run("migrate", command, env=env, cwd=place, **who)


def test_s079_the_job_waits_for_the_database(stack):
    process = start(stack)
    time.sleep(3)
    assert process.poll() is None, stack.log("migrate")
    stack.stores()
    assert process.wait(60) == 0, stack.log("migrate")
    assert "tried again" in stack.log("migrate")
    asked = [*stack.psql, "-d", "rae_memory", "-Atc", "SELECT count(*) > 5 FROM pg_tables WHERE schemaname = 'rae'"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout.strip() == "t"
    assert start(stack).wait(30) == 0, "nothing is left to do"


def test_s079_the_job_does_not_wait_for_ever():
    one = Stack(render(JOB, {"migrations": {"waitSeconds": 1}}), {"rae-secrets": {}})
    try:
        process = start(one)
        assert process.wait(30) == 1
        assert "the database cannot be reached" in one.log("migrate")
    finally:
        one.close()


def test_s079_the_job_can_be_stopped(stack):
    process = start(stack)
    time.sleep(2)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert time.monotonic() - began < 5


def running(kind: str = "Deployment", ready: int = 1) -> dict:
    workload = {"apiVersion": "apps/v1", "kind": kind, "metadata": owned("rae-memory-postgresql")}
    workload["status"] = {"readyReplicas": ready} if ready else {}
    return workload


def there(**changes: dict | None) -> dict[str, dict]:
    """What a running release has; a None takes something away."""
    objects = {
        f"{CORE}/configmaps/rae-memory-config": {"apiVersion": "v1", "kind": "ConfigMap", "data": {}},
        f"{CORE}/serviceaccounts/rae-memory-internal": {"apiVersion": "v1", "kind": "ServiceAccount"},
        f"{CORE}/secrets/rae-memory-generated": secret(postgresql_password="a", redis_password="b", qdrant_api_key="c"),
        f"{APPS}/deployments/rae-memory-postgresql": running(),
    }
    for found in objects.values():
        found.setdefault("metadata", owned("any"))
    short = {"config": 0, "account": 1, "secret": 2, "database": 3}
    for what, value in changes.items():
        path = list(objects)[short[what]]
        objects[path] = value
    return {path: value for path, value in objects.items() if value}


@pytest.mark.parametrize(
    ("objects", "sets", "hook"),
    [
        (there(), "", True),
        (there(database=None), "", False),
        (there(database=running(ready=0)), "", False),
        (there(), "postgresql.primary.kind=StatefulSet", False),
        (there(secret=secret(redis_password="b")), "postgresql.auth.password=given", False),
        (there(secret=None), "postgresql.auth.existingSecret=mine", True),
        (there(account=None), "", False),
        (there(config=None), "", False),
        (there(database=None), "postgresql.enabled=false", True),
        (there(), "postgresql.enabled=false,secrets.create=true,secrets.data.databaseUrl=postgresql://u@h/d", False),
    ],
    ids=[
        "running",
        "none",
        "not-ready",
        "other-kind",
        "no-password",
        "own-secret",
        "no-account",
        "no-settings",
        "external",
        "new-secret",
    ],
)
def test_s079_an_upgrade_never_waits_for_what_it_makes(shown, objects, sets, hook):  # noqa: F811
    # `helm template` of Helm 3 looks up objects, but asks for no versions; a real upgrade does.
    more = ["--is-upgrade", "--set", "migrations.mode=job", "--api-versions", "apiregistration.k8s.io/v1"]
    more += ["--set", sets] if sets else []
    text = shown(objects, "migrations/job.yaml", *more)
    found = job(documents(text))
    assert (annotations(found).get(HOOK) == "pre-upgrade") is hook
    assert (found["metadata"]["name"] == "rae-memory-migrations") is hook


def test_s079_the_notes_say_what_the_job_waits_for(engine, tmp_path, monkeypatch):
    more = ["--is-upgrade", "--dry-run=server", "--disable-openapi-validation", "-s", "templates/zz-notes.yaml"]
    options = {"engine": engine, "api_versions": ["apiregistration.k8s.io/v1"], "arguments": more}
    for objects, said in (there(), False), (there(database=running(ready=0), account=None), True):
        with cluster(objects) as kubeconfig:
            (tmp_path / "kubeconfig").write_text(kubeconfig)
            monkeypatch.setenv("RAE_TEST_KUBECONFIG", str(tmp_path / "kubeconfig"))
            text = notes(EXPLICIT, JOB, {"monitoring": {"crdCheck": "never"}}, **options)
        assert ("runs beside the new pods" in text) is said
        assert ("a ready pod of the Deployment rae-memory-postgresql" in text) is said
        assert ("ServiceAccount rae-memory-internal" in text) is said
    assert "pods of the API and of the workers may restart" in notes(EXPLICIT, JOB, engine=engine)
    assert "may restart" not in notes(EXPLICIT, engine=engine)


def test_s079_files_of_ci_cover_the_job():
    trees = [yaml.safe_load(file.read_text()) or {} for file in CI_FILES]
    assert any((merge(t).get("migrations") or {}).get("mode") == "job" for t in trees)
