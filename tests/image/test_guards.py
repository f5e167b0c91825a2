"""Upgrades that would lose data or stop half-way are refused, by what the cluster has. The cluster is a file in these tests."""

import json
import re
import shutil

import chart
import pytest

LOOKUP = re.compile(r'lookup "apps/v1" (?:\$other|"StatefulSet") \(include "rae.namespace" .root\) .name')


def upgrade(tmp_path, old: dict, values: dict) -> str:
    """The message of the refusal, or nothing."""
    place = tmp_path / "chart"
    shutil.copytree(chart.CHART, place)
    file = place / "templates/_stores.tpl"
    text, count = LOOKUP.subn('get (.root.Files.Get "cluster.json" | fromJson) .name', file.read_text())
    assert count == 2, "the two guards ask the cluster"
    file.write_text(text)
    (place / "cluster.json").write_text(json.dumps(old))
    helm = pytest.importorskip("helm_python.chart", reason="helm-python-sdk has no build for this machine")
    with helm.Chart.load(place) as loaded:
        try:
            loaded.render(values=values, name="rae-memory", namespace="rae-memory", is_upgrade=True)
        except Exception as error:
            return str(error)
    return ""


@pytest.mark.parametrize(("replicas", "refused"), [(1, True), (0, False)])
def test_two_servers_never_share_a_volume(tmp_path, replicas, refused):
    old = {"rae-memory-postgresql": {"spec": {"replicas": replicas}}}
    values = {"postgresql": {"primary": {"kind": "StatefulSet"}}, "qdrant": {"enabled": False}}
    said = upgrade(tmp_path, old, values)
    assert ("kubectl scale deployment/rae-memory-postgresql --replicas=0 -n rae-memory" in said) is refused, said


def qdrant(**sizes: str) -> dict:
    claims = [{"metadata": {"name": n}, "spec": {"resources": {"requests": {"storage": s}}}} for n, s in sizes.items()]
    return {"rae-memory-qdrant": {"spec": {"replicas": 1, "volumeClaimTemplates": claims}}}


@pytest.mark.parametrize(
    ("old", "values", "refused"),
    [
        (qdrant(data="50Gi"), {}, False),
        (qdrant(data="50Gi"), {"persistence": {"size": "51200Mi"}}, False),
        (qdrant(data="50Gi"), {"persistence": {"size": "200Gi"}}, True),
        (qdrant(data="1Ti"), {"persistence": {"size": "1024Gi"}}, False),
        (qdrant(data="50Gi"), {"snapshots": {"enabled": True}}, True),
        (qdrant(data="50Gi", snapshots="50Gi"), {"snapshots": {"enabled": True}}, False),
        (qdrant(), {"persistence": {"enabled": False}}, False),
    ],
)
def test_volumes_that_kubernetes_would_not_change_are_told(tmp_path, old, values, refused):
    said = upgrade(tmp_path, old, {"qdrant": values})
    assert ("kubectl delete statefulset rae-memory-qdrant --cascade=orphan -n rae-memory" in said) is refused, said
    assert bool(said) is refused, said
