"""Section 3: static security by checkov; documents that are written from sources; numbers without a test."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import seed
import tomllib
import yaml
from support import (
    CHART,
    CI_FILES,
    EXPLICIT,
    HERE,
    RAE_COMPONENTS,
    REPOSITORY,
    main_container,
    merge,
    nested,
    render,
    render_text,
    values,
)

CHECKOV = os.environ.get("RAE_TEST_CHECKOV", "checkov")
ON = [nested("migrations.mode", "job"), nested("backup.enabled", True)]


def test_s097_checkov_finds_nothing_that_is_not_reasoned_about(tmp_path):
    if shutil.which(CHECKOV) is None:
        pytest.skip(f"SKIPPED LOUDLY: {CHECKOV} is not there; scripts/helm_tests.sh installs it")
    (tmp_path / "default.yaml").write_text(render_text(EXPLICIT))
    (tmp_path / "jobs.yaml").write_text(render_text(EXPLICIT, merge(*ON)))
    for file in [*CI_FILES, CHART / "values-production.yaml"]:
        (tmp_path / f"{file.stem}.yaml").write_text(render_text(EXPLICIT, files=[file]))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: c, image: x}]}\n"
    )
    done = subprocess.run(
        [
            CHECKOV,
            "--directory",
            tmp_path,
            "--framework",
            "kubernetes",
            "--skip-download",
            "--output",
            "json",
            "--quiet",
        ],
        capture_output=True,
        text=True,
        timeout=500,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LOG_LEVEL": "ERROR"},
    )
    result = json.loads(done.stdout)
    failed = [(c["check_id"], c["resource"], c["file_path"]) for c in result["results"]["failed_checks"]]
    assert [f for f in failed if "/bad/" in f[2]], "checkov must be able to say no"
    assert [f for f in failed if "/bad/" not in f[2]] == []
    assert result["summary"]["passed"] > 1000
    skipped = result["results"].get("skipped_checks") or []
    for one in skipped:
        reason = one["check_result"].get("suppress_comment") or ""
        assert len(reason) > 20, (one["check_id"], one["resource"], "a skip needs its reason")


@pytest.mark.parametrize("script", ["chart_readme.py", "chart_schema.py"])
def test_s012_readme_and_schema_are_those_of_values_yaml(script):
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / script, "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_s005_the_readme_says_what_the_document_says():
    """Every command and every bullet of the user's document is in the chart's README."""
    ours = " ".join((CHART / "README.md").read_text().split())
    missing = [" ".join(c) for c in seed.commands() if " ".join(c[:3]) not in ours.replace("\\ ", "")]
    assert missing == []
    for title in re.findall(r"^#+ (.+)$", seed._without_code(seed.TEXT), re.M):
        assert title in ours or title.replace("&", "and") in ours, title


def test_s005_there_is_one_origin():
    """Runbooks, image and sources are looked for where the code is published."""
    origin = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["repository"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["sources"] == [origin]
    assert chart["home"] == origin
    assert f'org.opencontainers.image.source="{origin}"' in (REPOSITORY / "Dockerfile").read_text()
    owner = origin.removeprefix("https://github.com/").split("/")[0]
    assert values()["image"]["repository"].startswith(f"{owner}/")
    rules = render(EXPLICIT, nested("monitoring.prometheusRule.enabled", True)).of("PrometheusRule")
    books = {r["annotations"]["runbook_url"] for o in rules for g in o["spec"]["groups"] for r in g["rules"]}
    assert books
    assert all(book.startswith(f"{origin}/blob/main/docs/runbooks/") for book in books)


def test_s005_the_readme_says_how_the_image_is_made():
    """With exactly its values the pods run exactly the image that its commands push."""
    section = (CHART / "README.md").read_text().partition("## The Image")[2].partition("\n## ")[0]
    (pushed,) = re.findall(r"docker push (\S+)", section)
    (built,) = re.findall(r"docker build -t (\S+) \.", section)
    assert built == pushed
    (shown,) = re.findall(r"```yaml\n(.*?)```", section, re.S)
    objects = render(EXPLICIT, yaml.safe_load(shown))
    for component in RAE_COMPONENTS:
        assert main_container(objects.workload(component))["image"] == pushed


def test_s005_links_of_the_readme_lead_somewhere():
    for file in [CHART / "README.md", REPOSITORY / "helm" / "README.md"]:
        text = seed._without_code(file.read_text())
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if "://" in target or target.startswith("#"):
                continue
            assert (file.parent / target.split("#")[0]).resolve().exists(), (file.name, target)
        anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}
        for target in re.findall(r"\]\(#([^)]+)\)", text):
            assert target in anchors, (file.name, target)


def numbers_of(name: str) -> set[int]:
    """S007 -> {7}; s012_to_s047 -> 12..47; s024_s026 -> both."""
    found: set[int] = set()
    for first, last in re.findall(r"s(\d{3})_to_s(\d{3})", name):
        found |= set(range(int(first), int(last) + 1))
    return found | {int(n) for n in re.findall(r"(?<![a-z])s(\d{3})(?=_|$)", name)}


def test_s001_to_s111_every_number_has_a_test():
    tested: dict[int, list[str]] = {}
    for file in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                if node.name == "test_s001_to_s111_every_number_has_a_test":
                    continue
                assert any(isinstance(n, ast.Assert | ast.With | ast.Call) for n in ast.walk(node)), node.name
                for number in numbers_of(node.name):
                    # What merely holds the tables together does not count as a test of each of them.
                    if "leave_out_no_row" not in node.name:
                        tested.setdefault(number, []).append(node.name)
    missing = [f"S{n:03}" for n in range(1, 112) if n not in tested]
    assert missing == []
