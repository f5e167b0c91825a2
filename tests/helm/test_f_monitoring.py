"""Section 1.F: monitoring. What Prometheus itself says of rules and queries is tested in tests/monitoring."""

from __future__ import annotations

import json
import re

import pytest
import seed
from support import EXPLICIT, REPOSITORY, helm, labels, main_container, notes, refusal, render

SIX = (
    "rae_api_requests_total",
    "rae_api_request_duration_seconds",
    "rae_memory_operations_total",
    "rae_llm_cost_total",
    "rae_budget_remaining",
    "rae_search_cache_hit_ratio",
)
# A cluster serves this one always; with it alone the render is that of a cluster without operators.
CLUSTER = "apiregistration.k8s.io/v1"


def rule_on(*trees, **options):
    return render(EXPLICIT, {"monitoring": {"prometheusRule": {"enabled": True}}}, *trees, **options)


def dashboards(objects) -> list[dict]:
    return [o for o in objects.of("ConfigMap") if labels(o).get("grafana_dashboard")]


def exported() -> set[str]:
    """The metrics that the manual of the server lists; test_binary.py holds the manual's six against the server."""
    return set(re.findall(r"^\| `(rae_[a-z_]+)` \|", (REPOSITORY / "docs" / "operations.md").read_text(), re.M))


def used(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\brae_[a-z0-9_]+", text)}


@pytest.mark.parametrize(("monitoring", "monitor"), [(True, True), (True, False), (False, True), (False, False)])
def test_s063_both_switches_are_needed(monitoring, monitor, engine):
    tree = {"monitoring": {"enabled": monitoring, "serviceMonitor": {"enabled": monitor}}}
    found = render(EXPLICIT, tree, engine=engine).of("ServiceMonitor")
    assert len(found) == (1 if monitoring and monitor else 0)


def test_s063_it_selects_the_service_of_the_api_alone():
    objects = render(EXPLICIT)
    (monitor,) = objects.of("ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    services = [s for s in objects.of("Service") if wanted.items() <= labels(s).items()]
    assert [s["metadata"]["name"] for s in services] == ["rae-memory-api"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] == "http"
    assert "http" in [p["name"] for p in services[0]["spec"]["ports"]]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("30s", "10s")
    other = render(EXPLICIT, sets=["monitoring.serviceMonitor.namespace=prom"]).of("ServiceMonitor")[0]
    assert other["metadata"]["namespace"] == "prom"
    assert other["spec"]["namespaceSelector"] == {"matchNames": ["rae-memory"]}


def test_s063_two_releases_of_one_name_share_the_namespace_of_prometheus(engine):
    """Staging and production: with one name the second install ends with "invalid ownership metadata"."""
    sets = [f"monitoring.{one}.namespace=prom" for one in ("serviceMonitor", "prometheusRule", "grafanaDashboard")]
    sets.append("monitoring.prometheusRule.enabled=true")
    kinds = ("ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap")

    def guests(**options):
        found = render(EXPLICIT, sets=sets, engine=engine, **options).of(*kinds)
        return {(o["kind"], o["metadata"]["name"]) for o in found if o["metadata"]["namespace"] == "prom"}

    one, two = guests(namespace="staging"), guests(namespace="production")
    assert len(one) == len(two) == 6
    assert not one & two
    long = guests(namespace="n" * 63, release="r" * 53)
    assert all(len(name) <= 63 for _, name in long)
    # In its own namespace nothing is added, and the job of a series stays that of the component in any case.
    assert render(EXPLICIT, sets=["monitoring.serviceMonitor.namespace=rae-memory"], engine=engine).get(
        "ServiceMonitor", "rae-memory-api"
    )
    for o in render(EXPLICIT, sets=sets, engine=engine, namespace="staging").of("PodMonitor"):
        (endpoint,) = o["spec"]["podMetricsEndpoints"]
        (job,) = [r["replacement"] for r in endpoint["relabelings"] if r["targetLabel"] == "job"]
        assert o["metadata"]["name"] == f"{job}-staging"


def test_s064_relabelings_are_passed_as_given():
    shown = seed.values("Monitoring & Observability")
    given = shown["monitoring"]["serviceMonitor"]["relabelings"]
    assert given == [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "pod"}]
    more = {
        "monitoring": {
            "serviceMonitor": {
                "metricRelabelings": [{"action": "drop", "regex": "rae_trace.*", "sourceLabels": ["__name__"]}],
                "labels": {"release": "kube-prometheus-stack"},
                "authorization": {"credentials": {"name": "scrape", "key": "token"}},
            }
        }
    }
    (monitor,) = render(EXPLICIT, shown, more).of("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["relabelings"] == given
    wanted = more["monitoring"]["serviceMonitor"]
    assert endpoint["metricRelabelings"] == wanted["metricRelabelings"]
    assert endpoint["authorization"] == wanted["authorization"]
    assert labels(monitor)["release"] == "kube-prometheus-stack"


def test_s065_a_cluster_without_the_operator_gets_none_and_says_so(engine):
    assert render(EXPLICIT, engine=engine).of("ServiceMonitor"), "offline, the render is whole"
    assert not render(EXPLICIT, api_versions=[CLUSTER], engine=engine).of("ServiceMonitor", "PodMonitor")
    known = [CLUSTER, "monitoring.coreos.com/v1"]
    assert render(EXPLICIT, api_versions=known, engine=engine).of("ServiceMonitor")
    assert render(EXPLICIT, api_versions=[CLUSTER, "monitoring.coreos.com/v1/ServiceMonitor"]).of("ServiceMonitor")
    always = ["monitoring.crdCheck=always"]
    assert render(EXPLICIT, api_versions=[CLUSTER], sets=always).of("ServiceMonitor")
    assert not render(EXPLICIT, sets=["monitoring.crdCheck=never"]).of("ServiceMonitor", "PodMonitor")
    assert render(EXPLICIT, {"apiVersionOverrides": ["monitoring.coreos.com/v1"]}, api_versions=[CLUSTER]).of(
        "ServiceMonitor"
    )


ASKED_FOR = [
    ("external-secrets.io/v1", {"externalSecrets": {"enabled": True}}, "ExternalSecret"),
    (
        "keda.sh/v1alpha1",
        {"celeryWorker": {"autoscaling": {"enabled": False}, "keda": {"enabled": True}}},
        "ScaledObject",
    ),
    (
        "gateway.networking.k8s.io/v1",
        {"gateway": {"enabled": True, "parentRefs": [{"name": "edge"}]}},
        "HTTPRoute",
    ),
    ("monitoring.coreos.com/v1", {"monitoring": {"prometheusRule": {"enabled": True}}}, "PrometheusRule"),
]


@pytest.mark.parametrize(("version", "tree", "kind"), ASKED_FOR, ids=[a[2] for a in ASKED_FOR])
def test_s065_what_is_asked_for_but_missing_fails_with_a_helpful_text(version, tree, kind, engine):
    assert render(EXPLICIT, tree, engine=engine).of(kind)
    assert render(EXPLICIT, tree, api_versions=[CLUSTER, version], engine=engine).of(kind)
    said = refusal(EXPLICIT, tree, api_versions=[CLUSTER], engine=engine)
    assert version.split("/")[0] in said
    assert "nil pointer" not in said


def test_s066_built_in_kinds_are_not_gated():
    objects = render(EXPLICIT, api_versions=[CLUSTER])
    assert len(objects.of("HorizontalPodAutoscaler")) == 2
    assert len(objects.of("PodDisruptionBudget")) >= 3
    assert objects.of("NetworkPolicy")
    assert objects.of("Ingress")
    assert {o["apiVersion"] for o in objects.of("HorizontalPodAutoscaler")} == {"autoscaling/v2"}


@pytest.mark.parametrize(("monitoring", "dashboard"), [(True, True), (True, False), (False, True)])
def test_s067_the_dashboard_needs_both_switches(monitoring, dashboard):
    tree = {"monitoring": {"enabled": monitoring, "grafanaDashboard": {"enabled": dashboard}}}
    assert len(dashboards(render(EXPLICIT, tree))) == (1 if monitoring and dashboard else 0)


def test_s067_the_dashboard_is_valid_and_shows_what_the_document_says():
    (one,) = dashboards(render(EXPLICIT))
    assert labels(one)["grafana_dashboard"] == "1"
    ((name, text),) = one["data"].items()
    assert name.endswith(".json")
    board = json.loads(text)
    assert board["title"]
    assert board["uid"]
    assert not board.get("id")
    panels = [p for p in board["panels"] if p["type"] != "row"]
    panels += [inner for p in board["panels"] for inner in p.get("panels", [])]
    assert len(panels) >= 10
    assert len({p["id"] for p in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert [t["expr"] for t in panel["targets"]], panel["title"]
        assert all(t["expr"].strip() for t in panel["targets"]), panel["title"]
    titles = " ".join(p["title"] for p in panels + board["panels"]).lower()
    for topic in ("request", "latency", "memory", "cost", "budget", "health"):
        assert topic in titles, topic
    # Two panels must not lie on one another.
    cells: dict[tuple[int, int], str] = {}
    for panel in [p for p in board["panels"] if "gridPos" in p]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in cells, (panel["title"], cells[x, y])
                cells[x, y] = panel["title"]


def test_s068_panels_and_alerts_use_only_what_the_server_exports():
    text = json.dumps(dashboards(render(EXPLICIT))[0]) + json.dumps(rule_on().of("PrometheusRule")[0]["spec"])
    expressions = " ".join(re.findall(r'expr\\*": \\*"(.*?)(?<!\\)\\*"', text)) or text
    assert used(expressions), "no expression was found"
    assert used(expressions) - exported() == set()
    assert exported() >= set(SIX)
    board = used(json.dumps(dashboards(render(EXPLICIT))[0]))
    assert set(SIX) <= board, "all six documented metrics must be shown"
    documented = set(re.findall(r"^- `(rae_[a-z_]+)` -", seed.TEXT, re.M))
    assert documented == set(SIX)


def test_s069_the_documented_flags_work_as_written(engine):
    commands = [c for c in seed.starting("helm", "install") if "--set" in c]
    assert len(commands) == 2
    for command in commands:
        assert command[2:4] == ["rae-memory", "./helm/rae-memory"]
        text = helm("template", *command[2:], engine=engine)
        assert "kind: ServiceMonitor" in text
        assert "grafana_dashboard" in text
    sets = seed.flags(commands[0], "--set")
    assert len(sets) == 3
    for flag in sets:
        off = render(EXPLICIT, sets=[flag.replace("=true", "=false")], engine=engine)
        assert len(off) < len(render(EXPLICIT, sets=sets)), flag


def test_s069_the_dashboard_fits_into_a_configmap():
    (one,) = dashboards(render(EXPLICIT))
    size = len(json.dumps(one).encode())
    assert size < 1 << 20
    # `kubectl apply` keeps a copy in an annotation, which may have 256 KiB.
    assert size < 250 << 10


def test_s070_alerts_for_budgets():
    (rule,) = rule_on().of("PrometheusRule")
    alerts = [r for g in rule["spec"]["groups"] for r in g["rules"] if "alert" in r]
    assert not render(EXPLICIT).of("PrometheusRule")

    def only(share, severity):
        found = [
            a
            for a in alerts
            if "rae_budget_remaining" in a["expr"] and share in a["expr"] and a["labels"]["severity"] == severity
        ]
        assert len(found) >= 1, (share, severity)
        return found

    assert {a["for"] for a in only("0.2", "warning")} == {"5m"}
    assert {a["for"] for a in only("0.05", "critical")} == {"1m"}
    assert all("rae_budget_limit" in a["expr"] for a in only("0.2", "warning") + only("0.05", "critical"))
    assert len({a["alert"] for a in alerts}) == len(alerts)


def test_s070_every_alert_has_a_runbook_that_is_there():
    (rule,) = rule_on().of("PrometheusRule")
    alerts = [r for g in rule["spec"]["groups"] for r in g["rules"] if "alert" in r]
    assert len(alerts) >= 8
    for alert in alerts:
        assert alert["annotations"]["summary"], alert["alert"]
        url = alert["annotations"]["runbook_url"]
        page = REPOSITORY / "docs" / "runbooks" / url.split("/runbooks/", 1)[1].split("#")[0]
        assert page.exists() or page.with_suffix(".md").exists(), url
    given = {"monitoring": {"prometheusRule": {"runbookBaseUrl": "https://wiki.example.org/r"}}}
    (own,) = rule_on(given).of("PrometheusRule")
    for alert in [r for g in own["spec"]["groups"] for r in g["rules"] if "alert" in r]:
        assert alert["annotations"]["runbook_url"].startswith("https://wiki.example.org/r/")


def test_s070_thresholds_and_further_rules():
    more = [{"alert": "Mine", "expr": "up == 0", "labels": {"severity": "warning"}}]
    tree = {"monitoring": {"prometheusRule": {"additionalRules": more, "thresholds": {"budgetWarning": 0.33}}}}
    (rule,) = rule_on(tree).of("PrometheusRule")
    rules = [r for g in rule["spec"]["groups"] for r in g["rules"]]
    assert more[0] in rules
    assert [r for r in rules if "rae_budget_remaining" in r["expr"] and "0.33" in r["expr"]]
    # Braces of Prometheus' own templates must have come through.
    assert "{{ $labels." in json.dumps(rule)
    assert "<no value>" not in json.dumps(rule)


def test_s063_workers_metrics_have_a_pod_monitor():
    objects = render(EXPLICIT)
    (monitor,) = objects.component("celery-worker", "PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert [o for o, pod in objects.pods() if wanted.items() <= pod["metadata"]["labels"].items()] == [
        "Deployment/rae-memory-celery-worker"
    ]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ports = {p["name"]: p["containerPort"] for p in main_container(objects.workload("celery-worker"))["ports"]}
    assert ports[endpoint["port"]] == 8003
    assert not render(EXPLICIT, sets=["celeryWorker.enabled=false"]).component("celery-worker", "PodMonitor")


def test_s065_the_notes_tell_what_was_left_out(engine):
    assert "ServiceMonitor" in notes(sets=["monitoring.crdCheck=never"], engine=engine)
    cut_off = notes(engine=engine, api_versions=[CLUSTER])
    assert "ServiceMonitor" in cut_off
    assert "Prometheus Operator" in cut_off or "monitoring.coreos.com" in cut_off
