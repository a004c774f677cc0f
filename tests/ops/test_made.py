"""What is committed in ops/ is what its table makes, and what the tools accept."""

import json
import re
import subprocess
from pathlib import Path

import alerts
import dashboards
import make
import pytest
import recording
import scraping
import yaml
from scaling import Scale, seconds

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
DRILL = Scale(0.001, 1)
ALL = {one.name: one for one in alerts.ALERTS}


def said(*command):
    """Run it; what it says is told when it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(params=["committed", "for a drill"])
def folder(request, tmp_path):
    if request.param == "committed":
        return OPS
    asked = scraping.Asked({"api": ["127.0.0.1:1"]}, [])
    for name, text in make.files(DRILL, asked).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_what_is_committed_is_what_is_made():
    made = make.files(Scale())
    assert {
        name for name in made if (OPS / name).read_text(encoding="utf-8") != made[name]
    } == set()
    for name in ("prometheus", "alertmanager", "grafana/dashboards", "grafana/provisioning"):
        found = {str(path.relative_to(OPS)) for path in (OPS / name).rglob("*") if path.is_file()}
        assert found <= made.keys(), f"ops/{name} has what nothing makes"


def test_prometheus_accepts_its_files(tool, folder):
    promtool = tool("promtool", "prometheus")
    told = said(
        promtool, "check", "config", "--lint=all", str(folder / "prometheus/prometheus.yml")
    )
    assert f"{len(recording.RECORDED)} rules found" in told
    rules = sorted(map(str, (folder / "prometheus/rules").glob("*.yml")))
    told = said(promtool, "check", "rules", "--lint=all", "--lint-fatal", *rules)
    assert f"{len(ALL)} rules found" in told


@pytest.mark.parametrize("path", sorted((OPS / "prometheus/tests").glob("*.yml")), ids=str)
def test_rules_do_as_they_should(tool, path):
    said(tool("promtool", "prometheus"), "test", "rules", str(path))


def test_a_rule_that_changes_fails_its_proof(tool, tmp_path):
    """The control: a bar a little higher is not reached, a little lower is reached too early."""
    promtool = tool("promtool", "prometheus")
    made = make.files(Scale())
    proof = yaml.safe_load(made["prometheus/tests/quick.yml"])
    proof["tests"] = [one for one in proof["tests"] if one["name"].startswith("CellMemoryFull ")]
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    rules, test = tmp_path / "rules" / "alerts.yml", tmp_path / "tests" / "quick.yml"
    test.write_text(yaml.safe_dump(proof), encoding="utf-8")
    recorded = tmp_path / "rules" / "recording.yml"
    recorded.write_text(made["prometheus/rules/recording.yml"], encoding="utf-8")
    for bar, passes in (("0.95", True), ("0.99", False), ("0.94", False)):
        whole = made["prometheus/rules/alerts.yml"]
        rules.write_text(whole.replace("> 0.95\n", f"> {bar}\n"), encoding="utf-8")
        command = [promtool, "test", "rules", str(test)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode == 0) == passes, ended.stdout


def test_alertmanager_accepts_its_file(tool):
    told = said(tool("amtool", "prometheus-alertmanager"), "check-config",
                str(OPS / "alertmanager/alertmanager.yml"))  # fmt: skip
    assert f"{len(scraping.INHIBITED)} inhibit rules" in told


@pytest.mark.parametrize(
    ("severity", "receiver"), [("page", "page"), ("ticket", "ticket"), ("unknown", "ticket")]
)
def test_each_severity_goes_where_it_should(tool, severity, receiver):
    amtool, path = tool("amtool", "prometheus-alertmanager"), OPS / "alertmanager/alertmanager.yml"
    told = said(amtool, "config", "routes", "test", f"--config.file={path}", f"severity={severity}")
    assert told.splitlines()[0] == receiver


def test_what_is_inhibited_exists_and_no_alert_silences_itself():
    for cause, follow, equal in scraping.INHIBITED:
        assert {cause, *follow} <= ALL.keys()
        assert cause not in follow
        assert ALL[cause].severity == "page" or equal


def test_every_alert_has_its_runbook_and_every_runbook_its_alert():
    found = {path.stem for path in (OPS / "runbooks").glob("*.md")}
    assert found == ALL.keys()
    assert len(ALL) == len(alerts.ALERTS)
    for name in found:
        text = (OPS / "runbooks" / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {name}\n")
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == ["What it means", "Confirm", "Do", "Escalate"], name


def test_a_window_stays_long_enough_to_see_a_rate():
    for _, told in recording.RECORDED:
        for window in re.findall(r"\[(\w+)\]", DRILL.expr(told)):
            assert seconds(window) >= 3 * DRILL.interval_s
    assert DRILL.expr("x[5m] > <4h>") == "x[3s] > 14.4"
    assert DRILL.expr("x > <15m|90s>") == "x > 90"
    assert Scale(0.05, 1).expr("x[1h] > <30s>") == "x[180s] > 2"
    assert (DRILL.held("0s"), DRILL.held("5m"), Scale().held("5m")) == ("0s", "2s", "5m")


def panels():
    return [(board, one) for board in dashboards.documents() for one in board["panels"]]


def test_dashboards_have_names_of_their_own_and_panels_do_not_overlap():
    boards = dashboards.documents()
    assert len({one["uid"] for one in boards}) == len({one["title"] for one in boards}) == 5
    for board in boards:
        ids = [one["id"] for one in board["panels"]]
        assert len(ids) == len(set(ids))
        taken = set()
        for one in board["panels"]:
            at = one["gridPos"]
            assert at["x"] + at["w"] <= 24, one["title"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not taken & cells, one["title"]
            taken |= cells


def test_a_panel_says_its_unit_and_what_it_shows_and_asks_only_the_chosen_source():
    for _, one in panels():
        assert one["description"].endswith("."), one["title"]
        assert one["fieldConfig"]["defaults"]["unit"], one["title"]
    for board in dashboards.documents():
        uids = re.findall(
            r'"datasource": \{"type": "prometheus", "uid": "(.*?)"\}', json.dumps(board)
        )
        assert set(uids) == {"${ds}"}


def test_a_panel_leads_to_runbooks_that_are_there_and_each_alert_has_its_panel():
    links = {
        link["url"].rpartition("/")[2].removesuffix(".md")
        for _, one in panels()
        for link in one["links"]
    }
    assert links <= ALL.keys()
    assert ALL.keys() - links == {"FactsMissing"}  # every panel of facts is empty then
