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


@pytest.mark.parametrize("mode", ["init", "job"])
def test_the_migration_before_an_upgrade_reaches_the_database(mode):
    """The release before may have had no such Job, and policies that keep it out."""
    objects = chart.render({"migrations": {"mode": mode}}, upgrade=True)
    hooks = [o for o in objects if "helm.sh/hook" in o["metadata"].get("annotations", {}) and o["kind"] != "Pod"]
    if mode == "init":
        assert hooks == []
        return
    weights = {o["metadata"]["name"]: int(o["metadata"]["annotations"]["helm.sh/hook-weight"]) for o in hooks}
    [job] = [o for o in hooks if o["kind"] == "Job"]
    inward = chart.pick(hooks, "NetworkPolicy", "rae-memory-migrations-in")
    outward = chart.pick(hooks, "NetworkPolicy", "rae-memory-migrations-out")
    for policy in (inward, outward):
        assert weights[policy["metadata"]["name"]] < weights[job["metadata"]["name"]]
    labels = job["spec"]["template"]["metadata"]["labels"].items()
    assert outward["spec"]["podSelector"]["matchLabels"].items() <= labels
    [peer] = inward["spec"]["ingress"][0]["from"]
    assert peer["podSelector"]["matchLabels"].items() <= labels
    database = chart.pick(objects, "Deployment", "rae-memory-postgresql")["spec"]["template"]["metadata"]["labels"]
    assert inward["spec"]["podSelector"]["matchLabels"].items() <= database.items()
    assert inward["spec"]["policyTypes"] == ["Ingress"] and outward["spec"]["policyTypes"] == ["Egress"]
    # Without the Job they are not there: nothing but the Job needs them.
    assert not [o for o in chart.render({"migrations": {"mode": mode}}) if o["metadata"]["name"].endswith("-in")]
