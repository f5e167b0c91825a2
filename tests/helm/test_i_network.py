"""Section 1.I: the network policies, evaluated as a matrix of every pair of components, port by port."""

from __future__ import annotations

import itertools

import pytest
import seed
from netpol import End, allowed, permits
from support import (
    CHART,
    CI_FILES,
    COMPONENTS,
    EXPLICIT,
    RAE_COMPONENTS,
    STORES,
    Objects,
    labels,
    main_container,
    render,
)

PORTS = (53, 80, 443, 5432, 6333, 6334, 6335, 6379, 8000, 8001, 8002, 8003, 8080, 9090)
OWN = {"api": 8000, "ml-service": 8001, "reranker": 8002, "postgresql": 5432, "redis": 6379, "qdrant": 6333}
OUTSIDE = {
    "ingress": End("ingress", "ingress-nginx", (("app.kubernetes.io/name", "ingress-nginx"),)),
    "prometheus": End("prometheus", "monitoring", (("app.kubernetes.io/name", "prometheus"),)),
    "dns": End("dns", "kube-system", (("k8s-app", "kube-dns"),)),
    "neighbour": End("neighbour", "rae-memory", (("app", "somebody"),)),
    "stranger": End("stranger", "default", (("app.kubernetes.io/component", "api"),)),
    "internet": End("internet", address="93.184.216.34"),
    "internet6": End("internet6", address="2606:2800:220:1::1"),
    "private": End("private", address="10.20.30.40"),
    "metadata": End("metadata", address="169.254.169.254"),
    "unique-local": End("unique-local", address="fd00::1"),
    "loopback": End("loopback", address="127.0.0.1"),
}

# The whole of the document's table, and the gaps that check 95 fills: source, target, port. Nothing else may pass.
RULES: set[tuple[str, str, int]] = {
    # Memory API, in: the ingress controller. The release's own pods may come in too (check 84), but have no way out to it.
    ("ingress", "api", 8000),
    # Memory API, out: stores, services, providers of models.
    ("api", "postgresql", 5432),
    ("api", "redis", 6379),
    ("api", "qdrant", 6333),
    ("api", "ml-service", 8001),
    ("api", "reranker", 8002),
    ("api", "internet", 443),
    ("api", "internet6", 443),
    # ML service: only the API and the workers may ask it, and it may fetch models.
    ("celery-worker", "ml-service", 8001),
    ("ml-service", "internet", 443),
    ("ml-service", "internet6", 443),
    # Workers: what the API may reach, they may.
    ("celery-worker", "postgresql", 5432),
    ("celery-worker", "redis", 6379),
    ("celery-worker", "qdrant", 6333),
    ("celery-worker", "reranker", 8002),
    ("celery-worker", "internet", 443),
    ("celery-worker", "internet6", 443),
    # The reranker fetches its model as the ml service does.
    ("reranker", "internet", 443),
    ("reranker", "internet6", 443),
    # Prometheus reads every process of RAE.
    ("prometheus", "api", 8000),
    ("prometheus", "celery-worker", 8003),
    ("prometheus", "ml-service", 8001),
    ("prometheus", "reranker", 8002),
}
# Where the document lets the ml service into the stores, though it opens no connection to them.
STORES_LET_IN = {("ml-service", store, OWN[store]) for store in STORES}


def policies_of(objects: Objects) -> list[dict]:
    return objects.of("NetworkPolicy")


def ends(objects: Objects) -> dict[str, End]:
    found = dict(OUTSIDE)
    for component in COMPONENTS:
        try:
            workload = objects.workload(component)
        except AssertionError:
            continue
        pod = workload["spec"]["template"]
        ports = [(p["name"], p["containerPort"]) for p in main_container(workload).get("ports") or []]
        found[component] = End(component, "rae-memory", tuple(pod["metadata"]["labels"].items()), "", tuple(ports))
    return found


def matrix(objects: Objects) -> set[tuple[str, str, int]]:
    """Every TCP connection between two ends of which at least one is a pod of the release."""
    policies, known = policies_of(objects), ends(objects)
    found = set()
    for source, target in itertools.permutations(known, 2):
        if source in OUTSIDE and target in OUTSIDE:
            continue
        for port in PORTS:
            if allowed(policies, known[source], known[target], port):
                found.add((source, target, port))
    return found


@pytest.mark.parametrize("file", [None, "values-production.yaml", "values-development.yaml"])
def test_s083_to_s095_the_matrix_is_that_of_the_document(file, engine):
    objects = render(EXPLICIT, files=[CHART / file] if file else [], engine=engine)
    found = matrix(objects)
    # DNS is checked by itself, for both protocols.
    found = {r for r in found if r[1] != "dns"}
    may = RULES | STORES_LET_IN
    assert found - may == set(), "open, but must be closed"
    assert RULES - found == set(), "closed, but must be open"


def opened(direction: str, pod: str, other: str, objects: Objects | None = None, protocol: str = "TCP") -> set[int]:
    objects = objects if objects is not None else render(EXPLICIT)
    known = ends(objects)
    return {p for p in PORTS if permits(policies_of(objects), direction, known[pod], known[other], p, protocol)}


def test_s083_the_ingress_controller_reaches_the_api():
    assert opened("Ingress", "api", "ingress") == {8000}
    assert "- Ingress: From ingress-nginx namespace (port 8000)" in seed.section("Network Policies")
    moved = render(EXPLICIT, sets=["networkPolicy.ingressNamespace=edge"])
    assert opened("Ingress", "api", "ingress", moved) == set()
    for component in COMPONENTS:
        if component != "api":
            assert opened("Ingress", component, "ingress") == set(), component


def test_s084_pods_of_the_release_reach_the_api():
    for component in ("celery-worker", "ml-service", "reranker"):
        assert opened("Ingress", "api", component) == {8000}
    assert opened("Ingress", "api", "neighbour") == set(), "a pod of somebody else in the namespace"
    assert opened("Ingress", "api", "stranger") == set(), "the right label in another namespace"


@pytest.mark.parametrize("component", RAE_COMPONENTS)
def test_s085_dns_by_both_protocols(component):
    for protocol in ("UDP", "TCP"):
        assert opened("Egress", component, "dns", protocol=protocol) == {53}, protocol
    assert opened("Egress", component, "stranger") == set()
    moved = render(EXPLICIT, sets=["networkPolicy.dnsNamespace=dns"])
    assert opened("Egress", component, "dns", moved) == set()


@pytest.mark.parametrize("store", STORES)
def test_s086_the_api_reaches_each_store_on_its_port(store):
    assert opened("Egress", "api", store) == {OWN[store]}
    assert opened("Ingress", store, "api") == {OWN[store]}


def test_s087_the_api_reaches_the_model_services():
    assert opened("Egress", "api", "ml-service") == {8001}
    assert opened("Egress", "api", "reranker") == {8002}


def test_s088_the_internet_is_443_without_private_ranges():
    for component in RAE_COMPONENTS:
        for outside in ("internet", "internet6"):
            assert opened("Egress", component, outside) == {443}, (component, outside)
        for inside in ("private", "metadata", "unique-local", "loopback"):
            assert opened("Egress", component, inside) == set(), (component, inside)
    closed = render(EXPLICIT, sets=["networkPolicy.internet.enabled=false"])
    assert opened("Egress", "api", "internet", closed) == set()
    own = {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 8080}]}
    extra = render(EXPLICIT, {"networkPolicy": {"extraEgress": [own]}})
    assert opened("Egress", "api", "private", extra) == {8080}
    narrow = {"networkPolicy": {"internet": {"cidrs": ["93.184.0.0/16"], "except": [], "port": 8080}}}
    assert opened("Egress", "api", "internet", render(EXPLICIT, narrow)) == {8080}
    assert opened("Egress", "api", "internet6", render(EXPLICIT, narrow)) == set()


def test_s089_only_the_api_and_the_workers_reach_the_ml_service():
    assert opened("Ingress", "ml-service", "api") == {8001}
    assert opened("Ingress", "ml-service", "celery-worker") == {8001}
    for other in ("reranker", "postgresql", "neighbour", "stranger", "ingress", "internet"):
        assert opened("Ingress", "ml-service", other) == set(), other


def test_s090_the_ml_service_reaches_dns_and_443():
    assert opened("Egress", "ml-service", "internet") == {443}
    assert opened("Egress", "ml-service", "dns", protocol="UDP") == {53}
    for store in STORES:
        assert not allowed(
            policies_of(render(EXPLICIT)),
            ends(render(EXPLICIT))["ml-service"],
            ends(render(EXPLICIT))[store],
            OWN[store],
        )


@pytest.mark.parametrize("store", STORES)
def test_s091_each_store_lets_in_the_documented_three(store):
    for component in ("api", "ml-service", "celery-worker"):
        assert opened("Ingress", store, component) == {OWN[store]}, component
    for other in ("reranker", "neighbour", "stranger", "ingress", "prometheus", "internet", "private", *STORES):
        if other != store:
            assert opened("Ingress", store, other) == set(), other


@pytest.mark.parametrize("store", STORES)
def test_s092_stores_reach_nothing(store):
    for other in ends(render(EXPLICIT)):
        if other != store:
            for protocol in ("TCP", "UDP"):
                assert opened("Egress", store, other, protocol=protocol) == set(), (other, protocol)


def test_s092_qdrant_pods_talk_to_one_another_only_as_a_cluster():
    def peers(replicas):
        objects = render(EXPLICIT, sets=[f"qdrant.replicaCount={replicas}"])
        one = ends(objects)["qdrant"]
        return {p for p in PORTS if allowed(policies_of(objects), one, one, p)}

    assert peers(1) == set()
    assert peers(3) >= {6335}


def test_s093_off_and_one_direction(engine):
    assert not render(EXPLICIT, sets=["networkPolicy.enabled=false"], engine=engine).of("NetworkPolicy")
    tree = {"networkPolicy": {"policyTypes": ["Ingress"]}}
    for policy in render(EXPLICIT, tree, engine=engine).of("NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress"], policy["metadata"]["name"]
        assert "egress" not in policy["spec"], policy["metadata"]["name"]
    for policy in render(EXPLICIT, {"networkPolicy": {"policyTypes": ["Egress"]}}).of("NetworkPolicy"):
        assert "ingress" not in policy["spec"], policy["metadata"]["name"]


def test_s094_namespaces_are_known_by_the_label_that_the_api_server_sets():
    text = str(policies_of(render(EXPLICIT, files=[f for f in CI_FILES if "all-on" in f.stem])))
    assert "kubernetes.io/metadata.name" in text
    for policy in policies_of(render(EXPLICIT, files=[f for f in CI_FILES if "all-on" in f.stem])):
        for rule in [*(policy["spec"].get("ingress") or []), *(policy["spec"].get("egress") or [])]:
            for peer in [*(rule.get("from") or []), *(rule.get("to") or [])]:
                wanted = (peer.get("namespaceSelector") or {}).get("matchLabels") or {}
                assert wanted.keys() <= {"kubernetes.io/metadata.name"}, policy["metadata"]["name"]


def test_s095_the_gaps_are_filled():
    assert opened("Ingress", "reranker", "api") == {8002}
    assert opened("Ingress", "reranker", "celery-worker") == {8002}
    assert opened("Ingress", "reranker", "ml-service") == set()
    for component, port in (("api", 8000), ("celery-worker", 8003), ("ml-service", 8001), ("reranker", 8002)):
        assert opened("Ingress", component, "prometheus") == {port}, component
    moved = render(EXPLICIT, sets=["networkPolicy.monitoringNamespace=observability"])
    assert opened("Ingress", "celery-worker", "prometheus", moved) == set()
    deny = render(EXPLICIT, sets=["networkPolicy.defaultDeny=true"])
    assert opened("Ingress", "neighbour", "stranger", deny) == set()
    assert opened("Ingress", "neighbour", "stranger") == set(PORTS), "without it the others' pods are not our business"
    assert matrix(deny) >= RULES


def pod_end(objects: Objects, owner: str) -> End:
    pod = dict(objects.pods())[owner]
    return End(owner, "rae-memory", tuple(pod["metadata"]["labels"].items()))


def test_s095_backups_migrations_and_tests_reach_what_they_need_and_no_more():
    objects = render(EXPLICIT, sets=["backup.enabled=true", "migrations.mode=job"])
    policies, known = policies_of(objects), ends(objects)

    def reaches(owner: str) -> set[tuple[str, int]]:
        end = pod_end(objects, owner)
        return {
            (name, port)
            for name, other in known.items()
            for port in PORTS
            if name not in OUTSIDE and allowed(policies, end, other, port)
        }

    (backup,) = [o for o, _ in objects.pods() if o.startswith("CronJob/")]
    assert reaches(backup) == {("postgresql", 5432), ("qdrant", 6333)}
    (migration,) = [o for o, _ in objects.pods() if o.startswith("Job/") and "migr" in o]
    assert ("postgresql", 5432) in reaches(migration)
    assert reaches(migration) <= {("postgresql", 5432), ("redis", 6379), ("qdrant", 6333), ("ml-service", 8001)}
    for test in [o for o, _ in objects.pods() if o.startswith("Pod/")]:
        assert ("api", 8000) in reaches(test), test
        assert not reaches(test) & {("redis", 6379)}, test
    # The rules for them exist only while they do.
    without = render(EXPLICIT, sets=["tests.enabled=false"])
    clients = End("client", "rae-memory", pod_end(objects, backup).labels)
    assert not allowed(policies_of(without), clients, ends(without)["postgresql"], 5432)


def test_s095_qdrant_stays_on_rest():
    for component in ("api", "celery-worker"):
        assert opened("Egress", component, "qdrant") == {6333}


def test_s096_one_policy_for_each_component():
    objects = render(EXPLICIT)
    for component in COMPONENTS:
        found = objects.component(component, "NetworkPolicy")
        assert len(found) == 1, (component, [f["metadata"]["name"] for f in found])
        assert labels(found[0])["app.kubernetes.io/instance"] == "rae-memory"


def test_s096_the_documented_curl_is_allowed_and_the_image_has_it():
    (command,) = [c for c in seed.starting("kubectl", "exec") if "curl" in c]
    target = command[3] if command[2].startswith("-") else command[2]
    assert "deployment/rae-memory-api" in command, target
    url = command[-1]
    assert url == "http://rae-memory-ml-service:8001/health"
    objects = render(EXPLICIT)
    known = ends(objects)
    assert allowed(policies_of(objects), known["api"], known["ml-service"], 8001)
    service = objects.get("Service", "rae-memory-ml-service")
    assert service["spec"]["ports"][0]["port"] == 8001
    dockerfile = (CHART.parent.parent / "Dockerfile").read_text()
    assert "curl" in dockerfile
    assert "scratch" not in [line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM ")]


def test_s088_the_evaluator_itself_can_say_no():
    """Nothing above means anything if everything passes or nothing does."""
    policy = {
        "metadata": {"name": "p", "namespace": "rae-memory"},
        "spec": {
            "podSelector": {"matchLabels": {"a": "1"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"b": "1"}}}], "ports": [{"port": 80}]}],
        },
    }
    a, b, c = (End(n, "rae-memory", ((n, "1"),)) for n in "abc")
    assert allowed([policy], b, a, 80)
    assert not allowed([policy], b, a, 81)
    assert not allowed([policy], b, a, 80, "UDP")
    assert not allowed([policy], c, a, 80)
    assert allowed([policy], a, c, 80), "no policy selects c"
    assert not allowed([policy], End("b", "other", (("b", "1"),)), a, 80), "a pod selector means the policy's namespace"


def test_s085_dns_on_another_port_or_at_an_address_for_every_pod():
    """OpenShift's DNS pods listen at 5353; the cache of a node has an address and no pod that a selector finds."""
    dns = {
        "networkPolicy": {"dnsNamespace": "openshift-dns", "dns": {"ports": [53, 5353], "cidrs": ["169.254.20.10/32"]}}
    }
    more = {"backup": {"enabled": True}, "migrations": {"mode": "job"}, "qdrant": {"replicaCount": 3}}
    objects = render(EXPLICIT, dns, more, arguments=["--is-upgrade"])
    server = End("dns", "openshift-dns", (("dns", "default"),))
    cache = End("cache", address="169.254.20.10")
    asking = [p for p in policies_of(objects) if "Egress" in p["spec"]["policyTypes"] and p["spec"]["egress"]]
    names = {p["metadata"]["name"] for p in asking}
    assert names >= {
        f"rae-memory-{n}" for n in (*RAE_COMPONENTS, "test", "qdrant", "backup", "migrations", "migrations-out")
    }
    for policy in asking:
        pod = End("pod", "rae-memory", tuple(policy["spec"]["podSelector"]["matchLabels"].items()))
        for protocol in ("UDP", "TCP"):
            for port in (53, 5353):
                for target in (server, cache):
                    assert permits([policy], "Egress", pod, target, port, protocol), (
                        policy["metadata"]["name"],
                        target.name,
                    )
        assert not permits([policy], "Egress", pod, cache, 80, "TCP")


def test_s095_the_migration_before_an_upgrade_reaches_an_external_database(engine):
    """The policy of its component comes with the upgrade, after it; until then a default deny would hold."""
    rule = {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 5432}]}
    values = {
        "migrations": {"mode": "job"},
        "postgresql": {"enabled": False},
        "externalDatabase": {"host": "10.20.30.40", "existingSecret": "db"},
        "networkPolicy": {"extraEgress": [rule], "defaultDeny": True},
    }
    objects = render(EXPLICIT, values, engine=engine, arguments=["--is-upgrade"])
    hooks = [o for o in policies_of(objects) if "helm.sh/hook" in (o["metadata"].get("annotations") or {})]
    assert [h["metadata"]["name"] for h in hooks] == ["rae-memory-migrations-out"]
    (job,) = [o for o, _ in objects.pods() if o.startswith("Job/")]
    pod = pod_end(objects, job)
    assert permits(hooks, "Egress", pod, OUTSIDE["private"], 5432, "TCP")
    assert permits(hooks, "Egress", pod, OUTSIDE["dns"], 53, "UDP")
    assert not permits(hooks, "Egress", pod, OUTSIDE["private"], 443, "TCP")
