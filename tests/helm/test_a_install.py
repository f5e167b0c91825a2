"""Section 1.A of the specification: what is needed, how it is installed, what the objects are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import seed
import yaml
from support import (
    CHART,
    CI_FILES,
    EXPLICIT,
    PROGRAMS,
    REPOSITORY,
    Refused,
    annotations,
    containers,
    documents,
    env_of,
    helm,
    labels,
    pod_of,
    refusal,
    render,
    render_text,
)

GA_AT_1_23 = {
    "v1",
    "apps/v1",
    "autoscaling/v2",
    "batch/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
}
# These are guarded by the CRD of their operator, and are in an offline render.
OPERATORS = {"monitoring.coreos.com/v1"}


def cut_off_cluster(**options):
    """The default render of a cluster that has no operators."""
    return render(EXPLICIT, api_versions=["apiregistration.k8s.io/v1"], **options)


def test_s001_kubernetes_1_23_is_enough_and_older_is_refused(engine):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == ">=1.23.0-0"
    for version in ("1.23.0", "1.23.17-gke.100", "1.37.0"):
        objects = cut_off_cluster(kube_version=version, engine=engine)
        assert {o["apiVersion"] for o in objects} <= GA_AT_1_23, version
        assert len(objects) > 30
    assert {o["apiVersion"] for o in render(EXPLICIT, kube_version="1.23.0", engine=engine)} <= GA_AT_1_23 | OPERATORS
    assert "1.23" in refusal(kube_version="1.22.17", engine=engine)


@pytest.mark.parametrize("file", [None, *CI_FILES], ids=lambda f: f.stem if f else "defaults")
def test_s002_no_key_is_there_twice(file, engine):
    """Helm takes such a document, and Kustomize, Flux with post-renderers and most validators do not."""
    text = render_text(EXPLICIT, files=[file] if file else [], engine=engine)
    assert len(documents(text)) > 5
    for dashboard in documents(text).of("ConfigMap"):
        assert all(isinstance(value, str) for value in (dashboard.get("data") or {}).values())


def test_s002_the_loader_itself_can_say_no():
    for twice in ("data: {a: b}\nkind: X\ndata: {c: d}\n", "metadata: {labels: {a: b, a: c}}\n"):
        with pytest.raises(yaml.constructor.ConstructorError, match="twice"):
            documents(twice)


@pytest.mark.parametrize("file", CI_FILES, ids=lambda f: f.stem)
def test_s002_no_container_names_a_variable_twice(file):
    """Server-side apply of Helm 4 refuses a list whose keys are not unique."""
    objects = render(EXPLICIT, {"memoryApi": {"extraEnv": [{"name": "RAE_AUTH", "value": "keys"}]}}, files=[file])
    for owner, pod in objects.pods():
        for container in containers(pod):
            for field, key in (("env", "name"), ("ports", "name"), ("volumeMounts", "mountPath")):
                keys = [e[key] for e in container.get(field) or []]
                assert len(keys) == len(set(keys)), f"{owner} {container['name']} {field}: {sorted(keys)}"
        volumes = [v["name"] for v in pod["spec"].get("volumes") or []]
        assert len(volumes) == len(set(volumes)), owner
    assert env_of(pod_of(objects.workload("api"))["spec"]["containers"][0])["RAE_AUTH"] == "keys"


@pytest.mark.parametrize("file", [None, *CI_FILES], ids=lambda f: f.stem if f else "none")
def test_s002_both_engines_render_the_same_objects(file):
    files = [file] if file else []
    three, four = (render(EXPLICIT, files=files, engine=engine) for engine in PROGRAMS)
    assert sorted(three.names()) == sorted(four.names())
    for o in three:
        assert o == four.get(o["kind"], o["metadata"]["name"]), (o["kind"], o["metadata"]["name"])


def test_s002_lint_is_strict_and_clean(engine):
    for file in [None, *CI_FILES]:
        extra = ["--values", file] if file else []
        said = helm("lint", "--strict", CHART, "--namespace", "rae-memory", *extra, engine=engine)
        assert "0 chart(s) failed" in said
        assert "[WARNING]" not in said, said
        assert "[ERROR]" not in said, said


def test_s003_claims_use_the_default_class_unless_one_is_named():
    def claims(objects):
        found = [o["spec"] for o in objects.of("PersistentVolumeClaim")]
        for o in objects.of("StatefulSet"):
            found += [c["spec"] for c in o["spec"].get("volumeClaimTemplates") or []]
        return found

    default = claims(render(EXPLICIT))
    assert len(default) == 3
    assert all("storageClassName" not in c for c in default)
    assert {c["storageClassName"] for c in claims(render(EXPLICIT, sets=["global.storageClass=fast"]))} == {"fast"}
    own = claims(render(EXPLICIT, sets=["global.storageClass=fast", "qdrant.persistence.storageClass=local"]))
    assert sorted(c["storageClassName"] for c in own) == ["fast", "fast", "local"]


def test_s004_load_balancer_and_ingress_are_both_a_choice():
    both = render(EXPLICIT, sets=["memoryApi.service.type=LoadBalancer"])
    assert both.get("Service", "rae-memory-api")["spec"]["type"] == "LoadBalancer"
    assert both.has("Ingress", "rae-memory-api")
    without = render(EXPLICIT, sets=["memoryApi.service.type=LoadBalancer", "ingress.enabled=false"])
    assert not without.of("Ingress")
    assert render(EXPLICIT).get("Service", "rae-memory-api")["spec"]["type"] == "ClusterIP"
    # What is reached from outside is the API alone.
    for service in both.of("Service"):
        if service["metadata"]["name"] != "rae-memory-api":
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert "memoryApi" in refusal(sets=["memoryApi.service.type=Internet"])


def test_s005_the_package_and_its_index_carry_the_documented_address(engine, tmp_path):
    (_, _, _, name, url) = seed.starting("helm", "repo", "add")[0]
    assert (name, url) == ("rae", "https://charts.rae.memory")
    assert f"helm repo add {name} {url}" in (CHART / "README.md").read_text()
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    helm("package", CHART, "--destination", tmp_path, engine=engine)
    assert [f.name for f in tmp_path.iterdir()] == [f"rae-memory-{version}.tgz"]
    helm("repo", "index", tmp_path, "--url", url, engine=engine)
    index = yaml.safe_load((tmp_path / "index.yaml").read_text())
    assert index["entries"]["rae-memory"][0]["urls"] == [f"{url}/rae-memory-{version}.tgz"]
    # Nothing is asked of that address, and no other chart is needed.
    assert not yaml.safe_load((CHART / "Chart.yaml").read_text()).get("dependencies")
    packed = helm("template", "rae-memory", tmp_path / f"rae-memory-{version}.tgz", "-n", "rae-memory", engine=engine)
    assert "kind: Deployment" in packed
    for file in tmp_path.glob("*.tgz"):
        assert file.stat().st_size < 600_000, "a release is kept in a Secret of at most 1 MiB"


@pytest.mark.parametrize("file", [None, *CI_FILES], ids=lambda f: f.stem if f else "none")
def test_s006_the_namespace_is_the_users(file):
    files = [file] if file else []
    objects = render(EXPLICIT, files=files, namespace="elsewhere")
    assert not objects.of("Namespace")
    for o in objects:
        assert o["metadata"].get("namespace", "elsewhere") == "elsewhere", (o["kind"], o["metadata"]["name"])
    for template in (CHART / "templates").rglob("*.yaml"):
        assert not re.search(r"namespace: rae-memory", template.read_text()), template


def test_s007_rae_secrets_is_the_users_own():
    create = next(c for c in seed.starting("kubectl", "create", "secret", "generic") if "redis-url" in " ".join(c))
    name = create[4]
    keys = [f.split("=", 1)[0] for f in seed.flags(create, "--from-literal")]
    assert (name, keys) == ("rae-secrets", ["database-url", "redis-url", "openai-api-key", "anthropic-api-key"])
    for file in [None, *CI_FILES]:
        objects = render(files=[file] if file else [])
        assert not objects.has("Secret", name), file
    # Every pod of RAE reads exactly these keys of it, and what else there may be.
    keys_read = {
        e["valueFrom"]["secretKeyRef"]["key"]
        for _, pod in render(sets=["secrets.preferUrls=true"]).pods()
        for c in containers(pod)
        for e in c.get("env") or []
        if e.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == name
    }
    assert keys_read >= set(keys)


def test_s008_option_1_needs_two_keys_alone():
    option = seed.starting("kubectl", "create", "secret", "generic")[-1]
    given = {f.split("=", 1)[0] for f in seed.flags(option, "--from-literal")}
    assert given == {"database-url", "openai-api-key"}
    for sets in ([], ["secrets.preferUrls=true"]):
        for owner, pod in render(sets=sets).pods():
            for container in containers(pod):
                for entry in container.get("env") or []:
                    ref = entry.get("valueFrom", {}).get("secretKeyRef", {})
                    if ref.get("name") == "rae-secrets" and ref["key"] not in given:
                        assert ref.get("optional") is True, (owner, ref)


@pytest.mark.parametrize("number", range(2))
def test_s009_the_documented_install_line_gives_names_with_one_prefix(number, engine, tmp_path):
    commands = [c for c in seed.starting("helm", "install") if "--values" in c] + seed.starting("helm", "upgrade")
    command = commands[number]
    assert command[2:4] == ["rae-memory", "./helm/rae-memory"]
    custom = tmp_path / "custom-values.yaml"
    custom.write_text("memoryApi: {replicaCount: 3, autoscaling: {enabled: false}}\n")
    arguments = [str(custom) if word == "custom-values.yaml" else word for word in command[2:]]
    text = helm("template", *arguments, engine=engine)
    names = re.findall(r"^  name: (\S+)$", text, re.M)
    assert len(names) > 30
    assert not [n for n in names if "rae-memory-rae-memory" in n]
    assert not [n for n in names if not n.strip("\"'").startswith("rae-memory")]
    assert "replicas: 3" in text


def test_s010_other_releases_get_their_own_names(engine):
    foo = render(EXPLICIT, release="foo", engine=engine)
    assert foo.has("Deployment", "foo-rae-memory-api")
    assert all(name.startswith("foo-rae-memory") for _, name in foo.names())
    bar = render(EXPLICIT, release="bar", engine=engine)
    assert not foo.names() & bar.names(), "two releases in one namespace must not clash"
    # Nor may the selectors of one release find the pods of the other.
    for o in foo.of("Deployment", "StatefulSet"):
        wanted = o["spec"]["selector"]["matchLabels"]
        for _, pod in bar.pods():
            assert not wanted.items() <= pod["metadata"]["labels"].items(), o["metadata"]["name"]
    assert render(EXPLICIT, sets=["nameOverride=mem"], release="foo").has("Deployment", "foo-mem-api")
    full = render(EXPLICIT, sets=["fullnameOverride=brain"], release="foo")
    assert full.has("Deployment", "brain-api")
    assert full.has("Deployment", "brain-redis-master")


def test_s010_long_names_are_cut_and_stay_apart():
    long = "a" * 53  # the longest name of a release that Helm takes
    one = render(EXPLICIT, release=long, files=[f for f in CI_FILES if "all-on" in f.stem])
    for kind, name in one.names():
        assert len(name) <= 63, (kind, name)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name), name
    for o in one.of("StatefulSet", "CronJob"):
        assert len(o["metadata"]["name"]) <= 52, "Kubernetes adds 11 characters to these"
    other = render(EXPLICIT, release="a" * 52 + "b", files=[f for f in CI_FILES if "all-on" in f.stem])
    # What a user adds in extraObjects has the name that the user gives.
    assert [name for _, name in one.names() & other.names() if not name.startswith("aaa")] == [
        name for _, name in one.names() if not name.startswith("aaa")
    ]
    assert not [name for _, name in one.names() & other.names() if name.startswith("aaa")]
    override = render(EXPLICIT, sets=["fullnameOverride=" + "b" * 100])
    assert all(len(name) <= 63 for _, name in override.names())
    for _, o in override.pods():
        for value in o["metadata"]["labels"].values():
            assert len(value) <= 63


def test_s011_objects_have_the_documented_names(engine):
    objects = render(engine=engine)
    services = {"api": 8000, "ml-service": 8001, "reranker": 8002}
    for component, port in services.items():
        service = objects.get("Service", f"rae-memory-{component}")
        assert [p["port"] for p in service["spec"]["ports"]] == [port]
        assert objects.has("Deployment", f"rae-memory-{component}")
    for name in ("celery-worker", "postgresql", "redis-master"):
        assert objects.has("Deployment", f"rae-memory-{name}")
    assert objects.has("StatefulSet", "rae-memory-qdrant")
    assert objects.has("Service", "rae-memory-qdrant")
    # Whatever the document asks kubectl for is there.
    text = seed.TEXT
    asked = set(re.findall(r"\b(deployment|svc)/(rae-memory-[a-z-]+)", text))
    asked |= {("svc", host) for host in re.findall(r"http://(rae-memory-[a-z-]+):", text)}
    assert len(asked) >= 6
    for kind, name in asked:
        assert objects.has({"deployment": "Deployment", "svc": "Service"}[kind], name), (kind, name)
    scalers = render(sets=["mlService.autoscaling.enabled=true"]).of("HorizontalPodAutoscaler")
    assert {o["metadata"]["name"] for o in scalers} == {
        "rae-memory-api",
        "rae-memory-celery-worker",
        "rae-memory-ml-service",
    }


def test_s011_services_find_exactly_the_pods_they_mean():
    """A service that finds no pod, or another's, is the classic fault of a chart."""
    for files in ([], *[[f] for f in CI_FILES]):
        objects = render(EXPLICIT, files=files)
        for service in objects.of("Service"):
            selector = service["spec"].get("selector")
            assert selector, service["metadata"]["name"]
            found = [(o, pod) for o, pod in objects.pods() if selector.items() <= pod["metadata"]["labels"].items()]
            assert len(found) == 1, (service["metadata"]["name"], [o for o, _ in found])
            ports = [p for c in found[0][1]["spec"]["containers"] for p in c.get("ports") or []]
            known = {p.get("name") for p in ports} | {p["containerPort"] for p in ports}
            for port in service["spec"]["ports"]:
                assert port.get("targetPort", port["port"]) in known, (service["metadata"]["name"], port)


def test_s011_every_object_says_what_it_belongs_to():
    for o in render(EXPLICIT, files=[f for f in CI_FILES if "all-on" in f.stem]):
        wanted = {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/managed-by",
            "helm.sh/chart",
        }
        assert wanted <= labels(o).keys() or "extra" in o["metadata"]["name"], (o["kind"], o["metadata"]["name"])
        assert all(isinstance(v, str) for v in annotations(o).values()), o["metadata"]["name"]


def test_s005_nothing_needless_is_packed(engine, tmp_path):
    helm("package", CHART, "--destination", tmp_path, engine=engine)
    import tarfile

    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as tar:
        names = [Path(n).relative_to("rae-memory") for n in tar.getnames()]
    assert Path("values.schema.json") in names
    assert Path("README.md") in names
    assert not [n for n in names if n.parts[0] in ("ci", "tests") or n.suffix in (".pyc", ".orig", ".gotmpl")], names


def test_s002_a_wrong_command_is_an_error():
    """The engine of these tests does fail where it should: otherwise nothing here means anything."""
    with pytest.raises(Refused):
        helm("template", "x", REPOSITORY / "no-such-chart")
    assert render_text(EXPLICIT) == render_text(EXPLICIT)
