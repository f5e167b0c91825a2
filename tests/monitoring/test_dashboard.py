"""The dashboard is what Grafana takes, and the chart brings it there."""

import json
import re

import pytest
import queries
import rendered

FILE = rendered.CHART / "files" / "dashboards" / "rae.json"
BOARD = json.loads(FILE.read_text())
ROWS = [
    "Overview",
    "Traffic",
    "Latency",
    "Memory operations",
    "Recall and caches",
    "Cost of models",
    "Budgets",
    "Jobs and workers",
    "Vector feed (Qdrant)",
    "Stores",
    "Model services",
    "Health and saturation",
]
SIX = {
    "rae_api_requests_total",
    "rae_api_request_duration_seconds",
    "rae_memory_operations_total",
    "rae_llm_cost_total",
    "rae_budget_remaining",
    "rae_search_cache_hit_ratio",
}


def test_s067_s069_the_config_map_carries_it():
    made = rendered.only("ConfigMap", "rae-memory-dashboard")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    (name,) = made["data"]
    assert name == "rae-memory.json"
    assert len(made["data"][name].encode()) < 1 << 20
    board = rendered.dashboard()
    assert [p["title"] for p in board["panels"]] == [p["title"] for p in BOARD["panels"]]
    assert [p.get("targets") for p in board["panels"]] == [p.get("targets") for p in BOARD["panels"]]


@pytest.mark.parametrize("setting", ["monitoring.enabled=false", "monitoring.grafanaDashboard.enabled=false"])
def test_s067_only_when_wanted(setting):
    names = [made["metadata"]["name"] for made in rendered.of_kind("ConfigMap", setting)]
    assert not [name for name in names if name.endswith("-dashboard")]


def test_releases_do_not_share_a_title_or_uid():
    """Grafana takes each of them only once."""
    mine, other = rendered.dashboard(), None
    for made in rendered.objects("fullnameOverride=second"):
        if made["kind"] == "ConfigMap" and made["metadata"]["name"] == "second-dashboard":
            other = json.loads(made["data"]["second.json"])
    assert other and mine["uid"] != other["uid"] and mine["title"] != other["title"]
    assert len(mine["uid"]) <= 40


def test_folder_namespace_and_annotations():
    path = "monitoring.grafanaDashboard"
    made = rendered.only(
        "ConfigMap",
        "rae-memory-dashboard-rae-memory",  # the last word is the namespace of the release
        f"{path}.folder=Agents",
        f"{path}.namespace=grafana",
        f"{path}.annotations.a=b",
        f"{path}.labels.extra=x",
    )
    assert made["metadata"]["annotations"] == {"grafana_folder": "Agents", "a": "b"}
    assert made["metadata"]["namespace"] == "grafana"
    assert made["metadata"]["labels"]["extra"] == "x"


def test_the_step_is_that_of_the_scrape():
    board = rendered.dashboard("monitoring.serviceMonitor.interval=45s")
    assert {panel["interval"] for panel in rendered.panels(board)} == {"45s"}


def test_rows_ids_and_places():
    assert [p["title"] for p in BOARD["panels"] if p["type"] == "row"] == ROWS
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", rendered.panels(BOARD), ids=lambda panel: panel["title"])
def test_panel(panel):
    defaults = panel["fieldConfig"]["defaults"]
    assert len(panel["description"]) > 20 and panel["description"].endswith((".", "is stuck."))
    assert defaults["unit"] and defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"] and target["legendFormat"]
        # Every selector is held to the chosen namespace, job and pod, so that the panel is right with many of each.
        selectors = re.findall(r"\brae_[a-z0-9_]+(\{[^}]*\})?", target["expr"])
        assert selectors
        for selector in selectors:
            assert 'namespace=~"$namespace",job=~"$job",pod=~"$pod"' in selector, target["expr"]
        queries.put_in(target["expr"])
    titles = [p["title"] for p in rendered.panels(BOARD)]
    assert titles.count(panel["title"]) == 1 or panel["title"] in {"Oldest due job"}


def test_variables():
    variables = {v["name"]: v for v in BOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "job", "pod", "tenant"]
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("namespace", "job", "pod", "tenant"):
        assert variables[name]["multi"] and variables[name]["includeAll"] and variables[name]["allValue"] == ".*"
    tenant = [
        t["expr"] for _, _, t in queries.targets(BOARD) if "rae_budget" in t["expr"] and "warnings" not in t["expr"]
    ]
    assert tenant and all('tenant=~"$tenant"' in expr for expr in tenant)


def test_s068_the_six_metrics_appear():
    read = set()
    for _, _, target in queries.targets(BOARD):
        read |= {queries.SUFFIX.sub("", name) for name in queries.METRIC.findall(target["expr"])}
    assert read >= SIX
