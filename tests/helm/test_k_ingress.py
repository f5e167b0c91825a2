"""Sections 1.K and 1.L: TLS and ingress, RBAC and service accounts."""

from __future__ import annotations

import json

import pytest
import seed
import yaml
from support import CHART, CI_FILES, EXPLICIT, REPOSITORY, annotations, containers, notes, pod_of, refusal, render


def ingress(*trees: dict, **options) -> dict:
    return render(EXPLICIT, *trees, **options).get("Ingress", "rae-memory-api")


def test_s102_the_documents_tls_example(engine):
    shown = seed.values("TLS & Certificate Management")
    one = ingress(shown, engine=engine)
    assert shown["ingress"]["annotations"].items() <= annotations(one).items()
    assert annotations(one)["nginx.ingress.kubernetes.io/ssl-redirect"] == "true"
    assert one["spec"]["ingressClassName"] == "nginx"
    assert (
        one["spec"]["tls"] == shown["ingress"]["tls"] == [{"secretName": "rae-tls", "hosts": ["rae-api.example.com"]}]
    )
    (rule,) = one["spec"]["rules"]
    assert rule["host"] == "rae-api.example.com"
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    backend = path["backend"]["service"]
    assert backend["name"] == "rae-memory-api"
    objects = render(EXPLICIT, shown)
    ports = objects.get("Service", backend["name"])["spec"]["ports"]
    number = backend["port"].get("number") or next(p["port"] for p in ports if p["name"] == backend["port"]["name"])
    assert number == 8000


def test_s102_several_hosts_and_paths():
    hosts = [
        {"host": "a.example.org", "paths": [{"path": "/", "pathType": "Prefix"}, {"path": "/v1", "pathType": "Exact"}]},
        {"host": "b.example.org", "paths": [{"path": "/", "pathType": "ImplementationSpecific"}]},
    ]
    rules = ingress({"ingress": {"hosts": hosts}})["spec"]["rules"]
    assert [(r["host"], len(r["http"]["paths"])) for r in rules] == [("a.example.org", 2), ("b.example.org", 1)]
    wrong = {"ingress": {"hosts": [{"host": "a", "paths": [{"path": "/", "pathType": "Regex"}]}]}}
    assert "pathType" in refusal(wrong)


def test_s103_the_documented_annotation_stays_and_the_working_ones_exist():
    shown = seed.values("Production Configuration")["ingress"]["annotations"]
    assert shown["nginx.ingress.kubernetes.io/rate-limit"] == "1000"
    assert annotations(ingress({"ingress": {"annotations": shown}}))["nginx.ingress.kubernetes.io/rate-limit"] == "1000"
    limits = {"rps": 20, "rpm": 600, "connections": 10, "burstMultiplier": 3}
    written = annotations(ingress({"ingress": {"rateLimit": limits}}))
    prefix = "nginx.ingress.kubernetes.io/"
    assert {k[len(prefix) :]: v for k, v in written.items() if k.startswith(prefix)} == {
        "limit-rps": "20",
        "limit-rpm": "600",
        "limit-connections": "10",
        "limit-burst-multiplier": "3",
    }
    assert not [k for k in annotations(ingress()) if k.startswith(prefix)]


def test_s103_the_server_limits_too():
    from support import config

    data = config(render(EXPLICIT))
    assert (data["RAE_RATE_LIMIT"], data["RAE_RATE_LIMIT_WINDOW"]) == ("100", "60")
    off = config(render(EXPLICIT, sets=["config.rateLimit.enabled=false"]))
    assert off.get("RAE_RATE_LIMIT", "0") == "0"


def test_s102_a_route_of_the_gateway_api():
    tree = {
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": "edge", "namespace": "infra"}],
            "hostnames": ["rae.example.org"],
            "timeouts": {"request": "60s"},
        },
        "ingress": {"enabled": False},
    }
    objects = render(EXPLICIT, tree)
    (route,) = objects.of("HTTPRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"]["parentRefs"] == tree["gateway"]["parentRefs"]
    assert route["spec"]["hostnames"] == ["rae.example.org"]
    (rule,) = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "60s"}
    assert [(b["name"], b["port"]) for b in rule["backendRefs"]] == [("rae-memory-api", 8000)]
    assert "parentRefs" in refusal(EXPLICIT, {"gateway": {"enabled": True}})


def test_s104_the_service_account_of_the_api(engine):
    shown = yaml.safe_load_all(seed.blocks("RBAC", "yaml")[0])
    account, _ = shown
    objects = render(EXPLICIT, engine=engine)
    assert objects.has(account["kind"], account["metadata"]["name"])
    assert pod_of(objects.workload("api"))["spec"]["serviceAccountName"] == "rae-memory-api"
    custom = yaml.safe_load(seed.blocks("RBAC", "yaml")[1])
    one = render(EXPLICIT, custom, engine=engine).get("ServiceAccount", "rae-memory-api")
    assert annotations(one) == {"eks.amazonaws.com/role-arn": "arn:aws:iam::ACCOUNT:role/rae-memory"}
    mine = render(EXPLICIT, {"serviceAccount": {"create": False, "name": "mine"}})
    assert not mine.of("ServiceAccount")
    assert pod_of(mine.workload("api"))["spec"]["serviceAccountName"] == "mine"


def test_s105_the_documented_role(engine):
    _, role = yaml.safe_load_all(seed.blocks("RBAC", "yaml")[0])
    objects = render(EXPLICIT, engine=engine)
    assert objects.get("Role", "rae-memory-api")["rules"] == role["rules"]
    binding = objects.get("RoleBinding", "rae-memory-api")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "rae-memory-api"}
    (subject,) = binding["subjects"]
    assert (subject["kind"], subject["name"], subject["namespace"]) == (
        "ServiceAccount",
        "rae-memory-api",
        "rae-memory",
    )
    assert not objects.of("ClusterRole", "ClusterRoleBinding")


def test_s106_less_is_possible_and_other_pods_get_no_token(engine):
    assert not render(EXPLICIT, sets=["rbac.create=false"], engine=engine).of("Role", "RoleBinding")
    own = render(EXPLICIT, sets=["rbac.restrictToOwn=true"], engine=engine).get("Role", "rae-memory-api")
    assert own["rules"]
    for rule in own["rules"]:
        assert rule.get("resourceNames"), rule
        # A name cannot limit `list`, so it must not be given.
        assert "list" not in rule["verbs"]
    names = {n for r in own["rules"] for n in r["resourceNames"]}
    assert "rae-secrets" in names
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    more = render(EXPLICIT, {"rbac": {"extraRules": [rule]}})
    assert rule in more.get("Role", "rae-memory-api")["rules"]
    objects = render(
        EXPLICIT, files=[f for f in CI_FILES if "all-on" in f.stem], sets=["serviceAccount.automount=true"]
    )
    for owner, pod in objects.pods():
        if owner != "Deployment/rae-memory-api":
            assert pod["spec"]["automountServiceAccountToken"] is False, owner
            assert pod["spec"].get("serviceAccountName") != "rae-memory-api", owner
    assert pod_of(objects.workload("api"))["spec"]["automountServiceAccountToken"] is True


def test_s106_the_server_never_asks_kubernetes_so_no_token_by_default():
    for owner, pod in render(EXPLICIT).pods():
        assert pod["spec"]["automountServiceAccountToken"] is False, owner
        for container in containers(pod):
            assert not [m for m in container.get("volumeMounts") or [] if "serviceaccount" in m["mountPath"]]


@pytest.mark.parametrize("sets", [[], ["rbac.restrictToOwn=true"]])
def test_s105_no_rule_has_a_wildcard(sets):
    for role in render(EXPLICIT, sets=sets).of("Role"):
        assert "*" not in str(role["rules"])
        for rule in role["rules"]:
            assert set(rule["verbs"]) <= {"get", "list"}


def test_metrics_stay_inside_where_only_the_paths_of_the_api_are_published(engine):
    """/metrics asks for no key and names tenants with their budgets."""
    routes = json.loads((REPOSITORY / "docs" / "openapi.json").read_text())["paths"]
    wanted = {"/" + route.split("/")[1] for route in routes} - {"/metrics"}
    hosts = [
        {"host": "a.example.org", "paths": [{"path": "/", "pathType": "Prefix"}]},
        {"host": "b.example.org", "paths": [{"path": "/v1", "pathType": "Prefix"}]},
        {"host": "c.example.org"},
    ]
    values = {
        "ingress": {"hosts": hosts, "apiPathsOnly": True},
        "gateway": {"enabled": True, "parentRefs": [{"name": "public"}], "apiPathsOnly": True},
    }
    objects = render(EXPLICIT, values, engine=engine, api_versions=["gateway.networking.k8s.io/v1"])
    rules = objects.get("Ingress", "rae-memory-api")["spec"]["rules"]
    shown = [{p["path"] for p in rule["http"]["paths"]} for rule in rules]
    assert shown == [wanted, {"/v1"}, wanted]
    assert {p["pathType"] for rule in rules for p in rule["http"]["paths"]} == {"Prefix"}
    (rule,) = objects.get("HTTPRoute", "rae-memory-api")["spec"]["rules"]
    assert {(m["path"]["type"], m["path"]["value"]) for m in rule["matches"]} == {("PathPrefix", w) for w in wanted}


def test_the_notes_and_the_readme_tell_that_metrics_are_published():
    said = "/metrics"
    assert said in notes(), "the ingress serves all paths"
    assert said not in notes(sets=["ingress.apiPathsOnly=true"])
    assert said not in notes(sets=["ingress.enabled=false"])
    assert "`ingress.apiPathsOnly" in (CHART / "README.md").read_text()
