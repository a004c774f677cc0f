"""What a scraper makes of `/metrics`, and whether Prometheus would take it."""

import asyncio
import re
import shutil
import subprocess

import pytest

LINE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

Found = dict[tuple[str, ...], float]


def read(text: str) -> Found:
    """Return values by name and by values of labels, in the order of the labels' names."""
    found: Found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            told = LINE.fullmatch(line)
            assert told, line
            found[told[1], *(value for _, value in LABEL.findall(told[2] or ""))] = float(told[3])
    return found


async def require_clean(text: str) -> None:
    """Fail where `promtool check metrics` has anything to say; without promtool, skip the rest."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing (Debian: apt install prometheus): not checked")
    done = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, capture_output=True,
        text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
