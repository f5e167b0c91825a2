"""The queries of the dashboard, with Grafana's variables put in, and the names of metrics in a query."""

import math
import re

METRIC = re.compile(r"\brae_[a-z0-9_]+")
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def put_in(expr: str, interval: str = "10s", whole: str = "10m") -> str:
    """All namespaces, jobs, pods and tenants, as the dashboard shows at first."""
    values = {
        "__rate_interval": interval,
        "__interval": interval,
        "__range": whole,
        "namespace": "rae-memory",
        "job": ".*",
        "pod": ".*",
        "tenant": ".*",
    }
    for name, value in values.items():
        expr = re.sub(rf"\${name}\b|\$\{{{name}\}}", value, expr)
    assert "$" not in expr, f"a variable is unknown: {expr}"
    return expr


def metrics(expr: str, kinds: dict[str, str]) -> set[str]:
    """The families that a query reads; those of histograms are asked by their parts."""
    found = set()
    for name in METRIC.findall(expr):
        family = SUFFIX.sub("", name)
        found.add(family if kinds.get(family) == "histogram" else name)
    return found


def exported(text: str) -> dict[str, str]:
    """Name and kind of each family that a process shows on /metrics."""
    return dict(line.split(" ")[2:4] for line in text.splitlines() if line.startswith("# TYPE "))


def has_number(series: list[dict]) -> bool:
    values = [value for one in series for _, value in one.get("values", [one.get("value", (0, "NaN"))])]
    return any(math.isfinite(float(value)) for value in values)


def targets(board: dict) -> list[tuple[str, str, dict]]:
    """Title of the panel, letter of the query, and the query."""
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    return [(panel["title"], target["refId"], target) for panel in panels for target in panel["targets"]]
