"""The monitors: what they select, and how they scrape."""

import pytest
import rendered

SM = "monitoring.serviceMonitor"
OPTIONS = (
    f"{SM}.interval=45s",
    f"{SM}.scrapeTimeout=5s",
    f"{SM}.labels.release=prom",
    f"{SM}.namespace=monitoring",
    f"{SM}.relabelings[0].sourceLabels[0]=__meta_kubernetes_pod_name",
    f"{SM}.relabelings[0].targetLabel=pod",
    f"{SM}.metricRelabelings[0].action=labeldrop",
    f"{SM}.metricRelabelings[0].regex=tenant",
    f"{SM}.authorization.credentials.name=scrape",
    f"{SM}.authorization.credentials.key=token",
)


def monitors(*settings: str) -> dict[str, dict]:
    found = rendered.of_kind("ServiceMonitor", *settings) + rendered.of_kind("PodMonitor", *settings)
    return {made["metadata"]["name"]: made for made in found}


def endpoint(made: dict) -> dict:
    return (made["spec"].get("endpoints") or made["spec"]["podMetricsEndpoints"])[0]


def test_s042_s063_one_service_monitor_and_a_pod_monitor_for_each_other_role():
    kinds = {name: made["kind"] for name, made in monitors().items()}
    assert kinds == {
        "rae-memory-api": "ServiceMonitor",
        "rae-memory-celery-worker": "PodMonitor",
        "rae-memory-ml-service": "PodMonitor",
        "rae-memory-reranker": "PodMonitor",
    }


@pytest.mark.parametrize(
    "name, port", [("api", 8000), ("celery-worker", 8003), ("ml-service", 8001), ("reranker", 8002)]
)
def test_s043_s063_it_means_a_port_that_is_there(name, port):
    made = monitors()[f"rae-memory-{name}"]
    _, pod, number, container = rendered.scraped(made, rendered.objects())
    assert number == port
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == name
    assert container
    scrape = endpoint(made)
    assert (scrape["path"], scrape["interval"], scrape["scrapeTimeout"]) == ("/metrics", "30s", "10s")


def test_s063_the_api_is_scraped_at_its_port_http():
    assert endpoint(monitors()["rae-memory-api"])["port"] == "http"


@pytest.mark.parametrize("name", ["api", "celery-worker", "ml-service", "reranker"])
def test_s064_settings_are_passed_as_given(name):
    # In a namespace of others its name carries the release's own.
    made = monitors(*OPTIONS)[f"rae-memory-{name}-rae-memory"]
    scrape = endpoint(made)
    assert (scrape["interval"], scrape["scrapeTimeout"]) == ("45s", "5s")
    own = [] if name == "api" else [{"targetLabel": "job", "replacement": f"rae-memory-{name}"}]
    assert scrape["relabelings"] == [*own, {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "pod"}]
    assert scrape["metricRelabelings"] == [{"action": "labeldrop", "regex": "tenant"}]
    assert scrape["authorization"] == {"credentials": {"name": "scrape", "key": "token"}}
    assert made["metadata"]["namespace"] == "monitoring"
    assert made["metadata"]["labels"]["release"] == "prom"
    assert made["spec"]["namespaceSelector"] == {"matchNames": ["rae-memory"]}


@pytest.mark.parametrize(
    "setting, left",
    [
        ("monitoring.enabled=false", set()),
        ("monitoring.crdCheck=never", set()),
        (f"{SM}.enabled=false", {"rae-memory-celery-worker", "rae-memory-ml-service", "rae-memory-reranker"}),
        ("monitoring.podMonitor.enabled=false", {"rae-memory-api"}),
        ("celeryWorker.enabled=false", {"rae-memory-api", "rae-memory-ml-service", "rae-memory-reranker"}),
        ("mlService.enabled=false", {"rae-memory-api", "rae-memory-celery-worker", "rae-memory-reranker"}),
        ("rerankerService.enabled=false", {"rae-memory-api", "rae-memory-celery-worker", "rae-memory-ml-service"}),
    ],
)
def test_s063_s065_only_what_is_wanted(setting, left):
    assert set(monitors(setting)) == left


def test_a_network_policy_lets_prometheus_reach_each_port():
    """What is scraped in the test of the real server would otherwise be blocked in a cluster."""
    for made in monitors().values():
        _, pod, number, _ = rendered.scraped(made, rendered.objects())
        policies = [
            policy["spec"]
            for policy in rendered.of_kind("NetworkPolicy")
            if rendered.labels_match(policy["spec"]["podSelector"], pod["metadata"]["labels"])
        ]
        rules = [rule for policy in policies for rule in policy.get("ingress", [])]
        lets = [
            rule
            for rule in rules
            if {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
            in rule.get("from", [])
            and number in [port["port"] for port in rule.get("ports", [])]
        ]
        assert lets, made["metadata"]["name"]


def test_long_names_agree():
    """A long release name is cut for each component alone; the jobs of the alerts are cut in the same way."""
    setting = f"fullnameOverride={'a-long-name' * 5}"
    found = monitors(setting)
    exprs = "\n".join(rule["expr"] for group in one_rule(setting)["spec"]["groups"] for rule in group["rules"])
    for name, made in found.items():
        assert f'"{name}"' in exprs or f"|{name}" in exprs or f"{name}|" in exprs
        rendered.scraped(made, rendered.objects(setting))


def one_rule(setting: str) -> dict:
    return rendered.one(rendered.of_kind("PrometheusRule", rendered.RULES, setting), "rules")
