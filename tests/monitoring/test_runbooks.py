"""What the runbooks name is there: routes, settings, metrics, values of the chart, panels, pages, objects."""

import json
import re

import pytest
import rendered
import yaml

FOLDER = rendered.ROOT / "docs" / "runbooks"
PAGES = sorted(FOLDER.glob("Rae*.md"))
ROUTES = json.loads((rendered.ROOT / "docs" / "openapi.json").read_text())["paths"]
OPERATIONS = (rendered.ROOT / "docs" / "operations.md").read_text()
VALUES = yaml.safe_load((rendered.CHART / "values.yaml").read_text())
BOARD = json.loads((rendered.CHART / "files" / "dashboards" / "rae.json").read_text())
WORKLOADS = ("Deployment", "StatefulSet", "CronJob")
PANELS = {panel["title"] for panel in rendered.panels(BOARD)}

pages = pytest.mark.parametrize("page", [page.read_text() for page in PAGES], ids=[page.stem for page in PAGES])


def test_there_are_pages():
    assert len(PAGES) > 30
    index = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"^\| \[(\w+)\]\((\w+)\.md\)", index, re.M)) == {(p.stem, p.stem) for p in PAGES}


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page):
        assert (FOLDER / target).exists(), target


@pages
def test_routes_are_those_of_the_server(page):
    known = [re.sub(r"\{\w+\}", "[^/]+", route) for route in ROUTES]
    for path in re.findall(r"(/v1/[a-z/A-Z-]+)", page):
        assert any(re.fullmatch(route, path.rstrip("/")) for route in known), path


@pages
def test_settings_are_those_of_the_server(page):
    for name in re.findall(r"\b(?:RAE|OTEL)_[A-Z_]+", page):
        assert f"`{name}`" in OPERATIONS, name


@pages
def test_metrics_are_those_of_the_server(page):
    for name in re.findall(r"\brae_[a-z]+_[a-z_]+[a-z]", page):
        assert name in OPERATIONS, name


def value(path: str) -> bool:
    at = VALUES
    for part in path.split("."):
        if not isinstance(at, dict):
            return False
        if part not in at:
            return not at and path.startswith("configMap.")  # free settings
        at = at[part]
    return True


@pages
def test_values_are_those_of_the_chart(page):
    roots = "|".join(key for key in VALUES if isinstance(VALUES[key], dict))
    for path in re.findall(rf"`((?:{roots})\.[A-Za-z.]+)(?:=\w+)?`", page.replace("RAE_VECTOR_SETTLE`", "x`")):
        assert value(path) or path == "configMap.x", path
    for path in re.findall(r"`thresholds\.(\w+)`", page):
        assert path in VALUES["monitoring"]["prometheusRule"]["thresholds"], path


@pages
def test_panels_are_those_of_the_dashboard(page):
    for line in re.findall(r"(?<=\bpanel)s? ([A-Z][^\n)]+)", page):
        for name in line.split(", "):
            assert name.strip() in PANELS, name


@pages
def test_objects_are_those_of_the_chart(page):
    objects = rendered.objects("backup.enabled=true")
    names = {(made["kind"].lower(), made["metadata"]["name"]) for made in objects}
    found = re.findall(r"\b(deployment|statefulset|cronjob)[/ ](rae-memory-[a-z-]+)", page)
    for kind, name in found:
        assert (kind, name) in names, (kind, name)
    for component in re.findall(r"kubernetes\.io/component=([a-z-]+)", page):
        specs = [m["spec"].get("jobTemplate", m)["spec"] for m in objects if m["kind"] in WORKLOADS]
        labels = [spec["template"]["metadata"]["labels"]["app.kubernetes.io/component"] for spec in specs]
        assert component in labels, component
    assert "kubectl" in page
