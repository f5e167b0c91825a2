"""Decision D2: where the passwords of the bundled stores come from. Helm looks them up in a stand-in of the Kubernetes API."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading

import pytest
import yaml
from support import CHART, Refused, helm

SECRETS = "/api/v1/namespaces/rae-memory/secrets"
CLAIMS = "/api/v1/namespaces/rae-memory/persistentvolumeclaims"
# Kinds of the default render, by their APIs; Helm 4 asks for each of them.
APIS = {
    "v1": "Secret PersistentVolumeClaim ConfigMap Service ServiceAccount Pod",
    "apiregistration.k8s.io/v1": "APIService",
    "apps/v1": "Deployment StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "networking.k8s.io/v1": "NetworkPolicy Ingress",
    "policy/v1": "PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding",
    "batch/v1": "Job",
    "keda.sh/v1alpha1": "ScaledObject TriggerAuthentication",
}
PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
SCALER = "/apis/autoscaling/v2/namespaces/rae-memory/horizontalpodautoscalers/rae-memory-celery-worker"
SEEDS = {"database-url": "postgresql://user:pass@postgres:5432/rae", "redis-url": "redis://:pass@redis:6379/0"}
KEPT = {"postgresql-password": "kept-1", "redis-password": "kept-2", "qdrant-api-key": "kept-3"}


def resources(version: str) -> dict:
    """What the API server says of the kinds of an API."""
    listed = [
        {"name": PLURALS.get(kind, f"{kind.lower()}s"), "kind": kind, "namespaced": True, "verbs": ["get"]}
        for kind in APIS[version].split()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def group(api: str) -> dict:
    name, version = api.split("/")
    one = {"groupVersion": api, "version": version}
    return {"name": name, "versions": [one], "preferredVersion": one}


def owned(name: str) -> dict:
    """The metadata by which Helm knows what a release has left behind as that release's own."""
    release = {"meta.helm.sh/release-name": "rae-memory", "meta.helm.sh/release-namespace": "rae-memory"}
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    return {"name": name, "namespace": "rae-memory", "labels": labels, "annotations": release}


def secret(**data: str) -> dict:
    encoded = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": owned("any"), "data": encoded}


@contextlib.contextmanager
def cluster(objects: dict[str, dict]):
    """The least of the Kubernetes API that `lookup` asks for; yields the text of a kubeconfig."""
    groups = [api for api in APIS if api != "v1"]
    answers = {
        "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(api) for api in groups]},
        "/api/v1": resources("v1"),
        **{f"/apis/{api}": resources(api) for api in groups},
        **objects,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = answers.get(self.path.split("?")[0])
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(found or status).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        one = {"name": "one", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
        users = [{"name": "one", "user": {}}]
        yield yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [one],
                "users": users,
                "contexts": [context],
                "current-context": "one",
            }
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def shown(engine, tmp_path, monkeypatch):
    def asked(objects: dict[str, dict], template: str, *arguments: str) -> str:
        """What a template gives on a cluster with these objects."""
        with cluster(objects) as kubeconfig:
            (tmp_path / "kubeconfig").write_text(kubeconfig)
            monkeypatch.setenv("RAE_TEST_KUBECONFIG", str(tmp_path / "kubeconfig"))
            return helm(
                *("template", "rae-memory", CHART, "-n", "rae-memory", "--dry-run=server"),
                *("--disable-openapi-validation", "-s", f"templates/{template}", *arguments),
                *("--set", "monitoring.crdCheck=never"),
                engine=engine,
            )

    return asked


@pytest.fixture
def passwords(shown):
    def asked(objects: dict[str, dict], *arguments: str) -> dict[str, str]:
        """What the generated Secret holds, on a cluster with these objects."""
        data = yaml.safe_load(shown(objects, "secret-generated.yaml", *arguments))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    return asked


def test_d2_a_first_install_has_random_passwords(passwords):
    one, two = passwords({}), passwords({})
    assert sorted(one) == ["postgresql-password", "qdrant-api-key", "redis-password"]
    assert len({*one.values(), *two.values()}) == 6
    assert all(len(value) >= 32 and value.isalnum() for value in one.values())


def test_d2_the_seeds_urls_name_other_hosts_and_are_passed_over(passwords):
    found = passwords({f"{SECRETS}/rae-secrets": secret(**SEEDS)})
    assert "pass" not in found.values()
    assert len(set(found.values())) == 3


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://rae:plain@rae-memory-postgresql:5432/rae_memory", "plain"),
        ("postgres://rae:a%2Fb%40c@rae-memory-postgresql.rae-memory.svc/rae?sslmode=disable", "a/b@c"),
        ("postgresql://rae:a+b@rae-memory-postgresql.rae-memory.svc.cluster.local/rae", "a+b"),
    ],
)
def test_d2_a_url_of_the_bundled_service_gives_its_password(passwords, url, password):
    found = passwords({f"{SECRETS}/rae-secrets": secret(database_url=url)})
    assert found["postgresql-password"] == password


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rae:other@rae-memory-postgresql.elsewhere.svc/rae",
        "postgresql://rae:other@rae-memory-postgresql-2/rae",
        "postgresql://rae@rae-memory-postgresql/rae",
        "host=rae-memory-postgresql password=other",
    ],
)
def test_d2_another_url_does_not(passwords, url):
    found = passwords({f"{SECRETS}/rae-secrets": secret(database_url=url)})
    assert found["postgresql-password"] != "other"
    assert len(found["postgresql-password"]) >= 32


def test_d2_what_is_kept_wins_over_urls_and_is_never_dropped(passwords):
    objects = {
        f"{SECRETS}/rae-memory-generated": secret(**KEPT),
        f"{SECRETS}/rae-secrets": secret(database_url="postgresql://rae:url@rae-memory-postgresql/rae"),
    }
    assert passwords(objects) == KEPT
    # The volume of a store that is off still has its password.
    assert passwords(objects, "--set", "postgresql.enabled=false,redis.enabled=false") == KEPT


def test_d2_a_given_password_wins_over_what_is_kept(passwords):
    objects = {f"{SECRETS}/rae-memory-generated": secret(**KEPT)}
    found = passwords(objects, "--set", "postgresql.auth.password=given")
    assert found == {**KEPT, "postgresql-password": "given"}


def test_d2_a_volume_without_its_password_stops_the_render(passwords):
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": owned("rae-memory-postgresql")}
    objects = {f"{CLAIMS}/rae-memory-postgresql": claim}
    with pytest.raises(Refused, match=r"postgresql\.auth\.password"):
        passwords(objects)
    assert passwords(objects, "--set", "postgresql.auth.password=given")["postgresql-password"] == "given"


def test_s073_keda_is_refused_while_the_other_autoscaler_is_there(shown):
    """KEDA's webhook refuses it in the middle of the upgrade, as Helm makes new objects before it deletes old ones."""
    keda = ["--set", "celeryWorker.keda.enabled=true,celeryWorker.autoscaling.enabled=false"]
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    scaler["metadata"] = owned("rae-memory-celery-worker")
    template = "celery-worker/scaledobject.yaml"
    with pytest.raises(Refused) as refused:
        shown({SCALER: scaler}, template, *keda)
    said = str(refused.value)
    assert "celeryWorker.autoscaling.enabled=false" in said
    assert "kubectl delete hpa rae-memory-celery-worker -n rae-memory" in said
    assert "kubectl delete hpa rae-memory-celery-worker -n rae-memory" in (CHART / "README.md").read_text()
    assert yaml.safe_load(shown({}, template, *keda))["kind"] == "ScaledObject"
    # The first of the two upgrades that are asked for.
    shown({SCALER: scaler}, "celery-worker/deployment.yaml", "--set", "celeryWorker.autoscaling.enabled=false")
