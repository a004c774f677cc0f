"""The report of a drill: one page that needs nothing else, and a row a second."""

import csv
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest

from engine.simulation.drill.page import page
from engine.simulation.drill.report import write
from engine.simulation.drill.summary import Fault, Invariant, Threshold
from engine.simulation.drill.thinning import POINTS_MAX, means, thinned, tops
from tests.unit.simulation.drills import World, summary

CRASH = World(scenario="cell-crash", fault=("cell killed", 28, 41))
HOSTILE = "</script></title><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
# No name can be resolved, so that what is shown came from the disk.
CHROMIUM = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,800", "--enable-logging=stderr",
]  # fmt: skip


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.names, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs


@pytest.fixture(scope="module")
def crash():
    return summary(CRASH)


def test_the_first_screen_says_verdict_bars_certificate_and_fault(crash):
    told = page(crash)
    first = told[: told.index('<div class="more">')]
    assert "FAILED</p>" in first
    for sentence in crash.failures:
        assert sentence in first
    for one in crash.thresholds:
        assert f">{one.name}</th>" in first
    assert f"{crash.thresholds[0].found:.3g}</td>" in first
    assert crash.certificate in first
    assert first.count("cell killed at 0:28, over 0:41") == 2
    assert first.count('<rect class="fault"') == 2
    assert page(summary()).count("PASSED</p>") == 1


def test_it_needs_nothing_else_and_its_policy_lets_nothing_in(crash):
    told = page(crash)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', told)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    found = Elements(told)
    assert not {"img", "link", "iframe", "object"} & set(found.names)
    assert not {"src", "style", "onerror"} & {name for name, _ in found.attributes}
    assert {value for name, value in found.attributes if name == "href"} == {"#invariants"}
    addresses = set(re.findall(r"https?://[^\s<\"]+", told))
    assert addresses == {crash.target}


def test_words_of_others_are_words(crash):
    hostile = msgspec.structs.replace(
        crash, scenario=HOSTILE, run_id=HOSTILE, failures=[HOSTILE], certificate=HOSTILE,
        target=HOSTILE, started_at=HOSTILE, machine={HOSTILE: HOSTILE},
        faults=[Fault(HOSTILE, 3, None)], invariants=[Invariant(HOSTILE, met=False, told=HOSTILE)],
        thresholds=[Threshold(HOSTILE, HOSTILE, 1, None, HOSTILE, met=False)],
        totals=msgspec.structs.replace(crash.totals, refused={HOSTILE: 1}, failed={HOSTILE: 2}),
        latency={HOSTILE: crash.latency["accepted"]},
        generator=msgspec.structs.replace(crash.generator, name=HOSTILE),
        series=msgspec.structs.replace(crash.series, cpu={HOSTILE: crash.series.cpu["valkey"]}),
    )  # fmt: skip
    told = page(hostile)
    found = Elements(told)
    assert found.names.count("script") == 2
    assert "img" not in found.names
    assert "onerror" not in {name for name, _ in found.attributes}
    (read,) = re.findall(r'id="read">(.*?)</script>', told)
    assert msgspec.json.decode(read)["plots"]["cpu"][0]["name"] == HOSTILE


@pytest.mark.parametrize(
    "world",
    [
        World(accepts=False),
        World(aborted_at=20),
        World(seconds=1),
        World(seconds=0),
        World(peak=0),
        CRASH,
    ],
)
def test_whatever_a_drill_was_like_it_has_a_page(world):
    told = page(summary(world))
    assert "NaN" not in told
    if not world.accepts:
        assert "Nothing was measured." in told


def test_a_fault_that_is_not_over_reaches_to_the_end(crash):
    told = page(msgspec.structs.replace(crash, faults=[Fault("cell killed", 30, None)]))
    assert "cell killed at 0:30, not over" in told


def test_an_hour_is_small_and_keeps_its_spikes():
    soak = summary(World(seconds=3_600))
    soak.series.p99[1_234] = 9_876.0
    told = page(soak)
    assert len(told) < 300_000
    assert "9876" in told
    points = thinned(soak.series.p99)
    assert len(points) <= POINTS_MAX
    assert (1_234, 9_876.0) in points
    assert all(a < b for (a, _), (b, _) in pairwise(points))


def test_thinning_keeps_ends_gaps_and_means():
    values = [None] * 100 + [1.0, 5.0] * 50
    assert thinned(values, 20)[0] == (0, None)
    assert {value for _, value in thinned(values, 20)} == {None, 1.0, 5.0}
    assert means([1, 3, None, None, 5, 5], 3) == [2, None, 5]
    assert tops([1, 3, None, None, 5, 5], 3) == [3, None, 5]
    assert thinned([]) == []


def test_a_row_a_second(crash, tmp_path):
    assert write(tmp_path, crash) == tmp_path / "report.html"
    rows = list(csv.DictReader((tmp_path / "series.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(row["second"]) for row in rows] == crash.series.second
    assert [int(row["accepted"]) for row in rows] == crash.series.accepted
    assert rows[30]["p99_ms"] == ""
    assert float(rows[3]["p999_ms"]) == crash.series.p999[3]
    assert float(rows[3]["cpu_valkey"]) == crash.series.cpu["valkey"][3]


def test_chromium_shows_it_from_disk_without_a_network(crash, tmp_path):
    if shutil.which("chromium") is None:
        pytest.skip(
            "chromium is not installed (Debian: apt install chromium): "
            "NO BROWSER HAS OPENED THE REPORT OF A DRILL"
        )
    address = write(tmp_path, crash).as_uri()
    picture = tmp_path / "page.png"
    told = browse(tmp_path, f"--screenshot={picture}", "--dump-dom", address)
    assert "FAILED" in told.stdout
    assert "Content Security Policy" not in told.stderr
    assert len(colours(picture.read_bytes())) > 50


def browse(folder, *words):
    return subprocess.run(
        [*CHROMIUM, f"--user-data-dir={folder / 'user'}", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def colours(png):
    """The distinct stretches of four bytes of a picture: one blank colour has a handful."""
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    raw = zlib.decompress(data)
    return {raw[n : n + 4] for n in range(0, len(raw) - 4, 97)}
