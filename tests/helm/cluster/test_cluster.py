"""The documented commands on a real control plane (etcd, kube-apiserver, kube-controller-manager), by both engines of Helm, in a
namespace that enforces Pod Security `restricted`. No kubelet runs: pods are admitted and made, and stay pending."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import seed
from support import COMPONENTS, PROGRAMS, REPOSITORY, helm

BIN = Path(os.environ.get("RAE_TEST_K8S_BIN", REPOSITORY / ".build" / "helm" / "k8s"))
NEEDED = ("etcd", "kube-apiserver", "kubectl")
# Makes pods of Deployments, claims of StatefulSets, accounts of namespaces. Without it the pods are only offered to the API server.
MANAGER = BIN / "kube-controller-manager"
TOKEN = "the-token-of-the-test"
WAIT = 120


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if ready():
            return
        time.sleep(0.5)
    raise AssertionError(what)


class Cluster:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rae-cluster-"))
        self.config = self.folder / "kubeconfig"
        self.running: list[subprocess.Popen] = []

    def run(self, name: str, *flags: str) -> None:
        with (self.folder / f"{name}.log").open("w") as log:
            self.running.append(subprocess.Popen([str(BIN / name), *flags], stdout=log, stderr=log, cwd=self.folder))

    def start(self) -> None:
        client, peer, api = free_port(), free_port(), free_port()
        own = f"http://127.0.0.1:{peer}"
        self.run(
            "etcd",
            *[f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", f"--listen-peer-urls={own}"],
            *[f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}"],
            *[f"--initial-advertise-peer-urls={own}", f"--initial-cluster=default={own}"],
        )
        key = self.folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self.run(
            "kube-apiserver",
            *[f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1", f"--secure-port={api}"],
            *[f"--cert-dir={self.folder / 'certificates'}", f"--token-auth-file={self.folder / 'tokens.csv'}"],
            *["--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"],
            *[f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"],
            "--service-account-issuer=https://kubernetes.default.svc",
        )
        server = {"server": f"https://127.0.0.1:{api}", "insecure-skip-tls-verify": True}
        self.config.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": server}],
                    "users": [{"name": "test", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )
        try:
            wait_for("kube-apiserver", lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok")
        except AssertionError:
            raise AssertionError((self.folder / "kube-apiserver.log").read_text()[-3000:]) from None
        if not MANAGER.exists():
            warnings.warn(f"{MANAGER} is not there: pods are admitted by the API server, but NOT made", stacklevel=1)
            return
        self.run(
            "kube-controller-manager",
            *[f"--kubeconfig={self.config}", f"--service-account-private-key-file={key}", "--leader-elect=false"],
            *["--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--cert-dir={self.folder / 'manager'}"],
        )
        wait_for("the account default", lambda: "default" in self.kubectl("get", "serviceaccounts", check=False))

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.config)}
        done = subprocess.run([str(BIN / "kubectl"), *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def objects(self, kind: str, namespace: str = "rae-memory") -> list[dict]:
        return json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json"))["items"]

    def close(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster():
    missing = [name for name in NEEDED if not (BIN / name).exists()]
    if missing:
        pytest.skip(
            f"NO CONTROL PLANE, SO NOTHING WAS INSTALLED: {', '.join(missing)} not in {BIN}. `make chart-cluster` builds them"
        )
    one = Cluster()
    try:
        one.start()
        os.environ["RAE_TEST_KUBECONFIG"] = str(one.config)
        yield one
    finally:
        os.environ.pop("RAE_TEST_KUBECONFIG", None)
        one.close()


def literal(command: list[str], custom: Path) -> list[str]:
    """A documented command, with the user's own values file in its place."""
    return [str(custom) if word == "custom-values.yaml" else word for word in command[1:]]


def passwords(cluster: Cluster) -> dict[str, dict]:
    return {
        o["metadata"]["name"]: o["data"] for o in cluster.objects("secrets") if "generated" in o["metadata"]["name"]
    }


def templates(cluster: Cluster) -> dict[str, dict]:
    return {o["metadata"]["name"]: o["spec"]["template"] for o in cluster.objects("deployments,statefulsets")}


def pods_are_admitted(cluster: Cluster) -> None:
    """Each template as a pod, to a dry run of the server; claims that a controller would make become empty folders."""
    found = cluster.objects("deployments,statefulsets")
    assert len(found) >= len(COMPONENTS)
    for o in found:
        template = o["spec"]["template"]
        made = [c["metadata"]["name"] for c in o["spec"].get("volumeClaimTemplates") or []]
        template["spec"].setdefault("volumes", []).extend({"name": name, "emptyDir": {}} for name in made)
        metadata = {"name": o["metadata"]["name"], "labels": template["metadata"]["labels"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        (cluster.folder / "pod.json").write_text(json.dumps(pod))
        file = str(cluster.folder / "pod.json")
        assert "created" in cluster.kubectl("create", "--dry-run=server", "-n", "rae-memory", "-f", file)


def pods_are_made(cluster: Cluster) -> None:
    pods_are_admitted(cluster)
    if not MANAGER.exists():
        return

    def components() -> set[str]:
        return {p["metadata"]["labels"].get("app.kubernetes.io/component") for p in cluster.objects("pods")}

    try:
        wait_for("pods", lambda: components() >= set(COMPONENTS))
    except AssertionError:
        events = [e["message"] for e in cluster.objects("events") if e["type"] == "Warning"]
        raise AssertionError(f"only {components()}: {events}") from None
    refused = [e["message"] for e in cluster.objects("events") if e["reason"] == "FailedCreate"]
    assert not [m for m in refused if "PodSecurity" in m or "forbidden" in m], refused


@pytest.mark.parametrize("engine", sorted(PROGRAMS), ids=lambda e: f"helm{e}")
def test_s007_s079_s080_s081_s097_the_documented_life_of_a_release(cluster, engine, tmp_path):
    custom = tmp_path / "custom-values.yaml"
    custom.write_text("memoryApi: {autoscaling: {enabled: false}, replicaCount: 2}\n")
    # Namespace and Secret are the user's, and there before.
    whole = MANAGER.exists()
    # Without a manager no namespace is ever gone, so that the second engine finds that of the first.
    cluster.kubectl(*seed.starting("kubectl", "create", "namespace")[0][1:], check=whole)
    if not whole:
        cluster.kubectl("create", "serviceaccount", "default", "-n", "rae-memory", check=False)
    cluster.kubectl("label", "namespace", "rae-memory", "pod-security.kubernetes.io/enforce=restricted")
    secret = next(c for c in seed.starting("kubectl", "create", "secret") if "redis-url" in " ".join(c))
    cluster.kubectl(*secret[1:], check=whole)

    install = next(c for c in seed.starting("helm", "install") if "--values" in c)
    helm(*literal(install, custom), engine=engine)
    pods_are_made(cluster)
    first, before = passwords(cluster), templates(cluster)
    assert len(first) == 1
    assert len(next(iter(first.values()))) == 3
    claims = {o["metadata"]["name"]: o["metadata"]["uid"] for o in cluster.objects("persistentvolumeclaims")}
    assert len(claims) == (3 if whole else 2)
    assert len(cluster.objects("networkpolicies")) >= 7
    listed = cluster.kubectl(*seed.starting("kubectl", "get", "networkpolicy")[0][1:])
    assert "rae-memory-ml-service" in listed
    worker = next(c for c in seed.starting("kubectl", "get", "pods") if "-l" in c)
    assert ("celery-worker" in cluster.kubectl(*worker[1:], "-n", "rae-memory")) == whole

    # A pod that is not restricted is refused here, so that the admission of ours means something.
    bad = cluster.folder / "bad.json"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {"containers": [{"name": "c", "image": "c"}]},
    }
    bad.write_text(json.dumps(pod))
    with pytest.raises(AssertionError, match="PodSecurity"):
        cluster.kubectl("create", "-n", "rae-memory", "-f", str(bad))
    # So are the pods of `helm test` by a dry run of the server.
    hooks = helm("get", "hooks", "rae-memory", "-n", "rae-memory", engine=engine)
    (cluster.folder / "hooks.yaml").write_text(hooks)
    assert "created" in cluster.kubectl("create", "--dry-run=server", "-f", str(cluster.folder / "hooks.yaml"))

    # An upgrade without changes changes nothing; with changes, no password.
    (upgrade,) = seed.starting("helm", "upgrade")
    helm(*literal(upgrade, custom), engine=engine)
    assert templates(cluster) == before
    assert passwords(cluster) == first
    custom.write_text("memoryApi: {autoscaling: {enabled: false}, replicaCount: 3}\ncost: {defaultDailyLimit: 7}\n")
    helm(*literal(upgrade, custom), engine=engine)
    assert passwords(cluster) == first
    assert templates(cluster) != before
    scaled = {o["metadata"]["name"]: o["spec"].get("replicas") for o in cluster.objects("deployments")}
    assert scaled["rae-memory-api"] == 3

    (rollback,) = seed.starting("helm", "rollback")
    helm(*rollback[1:], engine=engine)
    assert templates(cluster) == before
    assert passwords(cluster) == first
    scaled = {o["metadata"]["name"]: o["spec"].get("replicas") for o in cluster.objects("deployments")}
    assert scaled["rae-memory-api"] == 2

    (uninstall,) = seed.starting("helm", "uninstall")
    helm(*uninstall[1:], engine=engine)
    wait_for("pods are gone", lambda: cluster.objects("pods") == [])
    assert {o["metadata"]["name"]: o["metadata"]["uid"] for o in cluster.objects("persistentvolumeclaims")} == claims
    assert passwords(cluster) == first, "the volumes that stay need their passwords"
    for kind in (
        "deployments",
        "statefulsets",
        "services",
        "networkpolicies",
        "ingresses",
        "roles",
        "horizontalpodautoscalers",
    ):
        assert cluster.objects(kind) == [], kind
    assert [o["metadata"]["name"] for o in cluster.objects("secrets") if o["metadata"]["name"] == "rae-secrets"]

    # Whoever installs again finds volumes and passwords.
    helm(*literal(install, custom), engine=engine)
    assert passwords(cluster) == first
    assert {o["metadata"]["name"]: o["metadata"]["uid"] for o in cluster.objects("persistentvolumeclaims")} == claims
    helm(*uninstall[1:], engine=engine)

    if whole:
        (delete,) = seed.starting("kubectl", "delete", "namespace")
        cluster.kubectl(*delete[1:], "--timeout=120s")
