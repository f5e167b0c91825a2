"""Each alert fires when it must and is silent when it must, as promtool sees the rules that the chart renders."""

import subprocess
from pathlib import Path

import pytest
import rendered
import yaml

HERE = Path(__file__).parent
CASES = yaml.safe_load((HERE / "alert_cases.yaml").read_text())
RUNBOOKS = rendered.ROOT / "docs" / "runbooks"
# Those that somebody is called for at night.
CRITICAL = {
    "RaeApiDown",
    "RaeApiNotReady",
    "RaeApiErrorsCritical",
    "RaeBudgetCritical",
    "RaeWorkerDown",
    "RaeDatabaseErrors",
    "RaeMlServiceDown",
}
INFO = {"RaeTraceSpansLost"}


def severity(alert: str) -> str:
    return "critical" if alert in CRITICAL else "info" if alert in INFO else "warning"


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> Path:
    """The rendered rules as Prometheus reads them. They are those that are tested below."""
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rendered.groups()}, sort_keys=False))
    return file


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules(rules):
    assert f"{len(rendered.alerts())} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", rules)


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent():
    assert set(CASES) == set(rendered.alerts())
    for alert, cases in CASES.items():
        assert any("fires" in case for case in cases), alert
        assert any(case.get("silent") for case in cases), alert


def test_the_files_hold_the_alerts_that_are_rendered():
    files = sorted((rendered.CHART / "files" / "alerts").glob("*.yaml"))
    named = [r["alert"] for f in files for g in yaml.safe_load(f.read_text())["groups"] for r in g["rules"]]
    assert sorted(named) == sorted(rendered.alerts())
    assert len(named) == len(set(named))


def expected(alert: str, fires: dict) -> dict:
    labels = {"severity": severity(alert)}
    for name, value in fires.items():
        if name.startswith("$"):
            pairs = rendered.expand(name).split(",")
            labels |= {k: v.strip('"') for k, v in (pair.split("=") for pair in pairs)}
        elif name != "description":
            labels[name] = value
    annotations = rendered.alerts()[alert]["annotations"] | {"description": fires["description"]}
    return {"exp_labels": labels, "exp_annotations": annotations}


@pytest.mark.parametrize("alert", CASES)
def test_alert(alert, rules, tmp_path):
    # The rule alone, as it was rendered: promtool evaluates all that it is given at each step.
    given = [r for g in yaml.safe_load(rules.read_text())["groups"] for r in g["rules"] if r["alert"] == alert]
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump({"groups": [{"name": "alone", "rules": given}]}))
    tests = []
    (every,) = {case.get("every", "30s") for case in CASES[alert]}
    for case in CASES[alert]:
        series = [{"series": rendered.expand(s), "values": str(v)} for s, v in case["series"].items()]
        wanted = [expected(alert, fires) for fires in case.get("fires", [])]
        assert bool(wanted) != case.get("silent", False), "a case fires or is silent"
        tests.append(
            {
                "interval": every,
                "input_series": series,
                "alert_rule_test": [{"eval_time": case["at"], "alertname": alert, "exp_alerts": wanted}],
            }
        )
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(alone)], "evaluation_interval": every, "tests": tests}))
    promtool("test", "rules", file)


def test_a_broken_rule_is_noticed(rules, tmp_path):
    """The tests above would see it: without its threshold RaeBudgetLow fires where it must be silent."""
    text = rules.read_text()
    assert text.count("< 0.2") == 1
    broken = tmp_path / "rules.yaml"
    broken.write_text(text.replace("< 0.2", "< 2"))
    with pytest.raises(AssertionError, match="RaeBudgetLow"):
        test_alert("RaeBudgetLow", broken, tmp_path)


@pytest.mark.parametrize("alert", CASES)
def test_labels_annotations_and_runbook(alert):
    rule = rendered.alerts()[alert]
    assert rule["labels"] == {"severity": severity(alert)}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page = RUNBOOKS / f"{alert}.md"
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{alert}.md")
    text = page.read_text()
    assert text.startswith(f"# {alert}\n")
    for part in ("## What it means", "## Where to look", "## What to do"):
        assert text.count(part) == 1, part


def test_no_runbook_is_of_no_alert():
    assert {page.stem for page in RUNBOOKS.glob("Rae*.md")} == set(rendered.alerts())


def test_s070_budget_alerts_are_those_of_the_documents():
    low, critical = (rendered.alerts()[name] for name in ("RaeBudgetLow", "RaeBudgetCritical"))
    for rule, share, wait, level in ((low, "0.2", "5m", "warning"), (critical, "0.05", "1m", "critical")):
        assert "rae_budget_remaining" in rule["expr"] and "rae_budget_limit" in rule["expr"]
        assert rule["expr"].endswith(f"< {share}")
        assert (rule["for"], rule["labels"]["severity"]) == (wait, level)


def test_thresholds_and_overrides_reach_the_rules():
    path = "monitoring.prometheusRule"
    changed = rendered.alerts(
        f"{path}.thresholds.budgetWarning=0.35",
        f"{path}.thresholds.vectorFeedBehind=123456789",
        f"{path}.runbookBaseUrl=https://wiki.example.com/rae/",
        f"{path}.alertLabels.team=memory",
        f"{path}.alertAnnotations.owner=ada",
        f"{path}.alerts.RaeApiDown.for=7m",
        f"{path}.alerts.RaeApiDown.labels.severity=page",
        f"{path}.alerts.RaeApiLatency.enabled=false",
        f"{path}.additionalRules[0].alert=Mine",
        f"{path}.additionalRules[0].expr=vector(1)",
    )
    assert changed["RaeBudgetLow"]["expr"].endswith("< 0.35")
    assert float(changed["RaeVectorFeedBehind"]["expr"].rsplit("> ", 1)[1]) == 123456789
    assert changed["RaeApiDown"]["for"] == "7m"
    assert changed["RaeApiDown"]["labels"] == {"severity": "page", "team": "memory"}
    assert changed["RaeApiDown"]["annotations"]["runbook_url"] == "https://wiki.example.com/rae/RaeApiDown.md"
    assert changed["RaeApiPodDown"]["annotations"]["owner"] == "ada"
    assert set(rendered.alerts()) - set(changed) == {"RaeApiLatency"}
    assert changed["Mine"] == {"alert": "Mine", "expr": "vector(1)"}


@pytest.mark.parametrize(
    "setting, gone",
    [
        ("celeryWorker.enabled=false", {"RaeWorkerDown", "RaeWorkerIdle", "RaeWorkerChildrenFall"}),
        ("rerankerService.enabled=false", {"RaeRerankerDown"}),
        ("mlService.enabled=false", {"RaeMlServiceDown"}),
        ("monitoring.serviceMonitor.enabled=false", {"RaeApiDown"}),
        ("backup.enabled=false", {"RaeBackupOld"}),
        (
            "monitoring.podMonitor.enabled=false",
            {"RaeWorkerDown", "RaeWorkerIdle", "RaeWorkerChildrenFall", "RaeMlServiceDown", "RaeRerankerDown"},
        ),
    ],
)
def test_what_nobody_scrapes_is_not_missed(setting, gone):
    """Alerts on a target that does not exist would fire for ever."""
    assert set(rendered.alerts()) - set(rendered.alerts(setting)) == gone


def test_the_alert_of_backups_asks_for_the_cron_job_that_is_rendered():
    expr = rendered.alerts()["RaeBackupOld"]["expr"]
    cron = rendered.of_kind("CronJob", "backup.enabled=true")[0]["metadata"]
    assert f'namespace="{cron["namespace"]}",cronjob="{cron["name"]}"' in expr
    changed = rendered.alerts("monitoring.prometheusRule.thresholds.backupAgeHours=200")["RaeBackupOld"]["expr"]
    assert changed == expr.replace("> 50 *", "> 200 *") != expr


def test_an_override_of_no_alert_is_refused():
    with pytest.raises(RuntimeError, match="RaeNothing"):
        rendered.alerts("monitoring.prometheusRule.alerts.RaeNothing.enabled=false")


def test_rules_are_off_by_default_and_with_monitoring():
    assert rendered.of_kind("PrometheusRule") == []
    assert rendered.of_kind("PrometheusRule", rendered.RULES, "monitoring.enabled=false") == []
