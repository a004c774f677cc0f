"""Dashboards against the types that Grafana publishes; needs npm, and once a network."""

import subprocess
from pathlib import Path

import make
import pytest
from scaling import Scale

ROOT = Path(__file__).parents[2]
MISSING = 3
BOARD = "grafana/dashboards/stock.json"


def checked(*folder):
    command = ["sh", str(ROOT / "ops/monitoring/typecheck"), *folder]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode == MISSING:
        pytest.skip(f"dashboards are not type-checked: {ended.stderr.strip()}")
    return ended.returncode, ended.stdout + ended.stderr


def test_grafana_would_accept_the_dashboards_and_not_a_misspelt_one(tool, tmp_path):
    tool("npm", "npm")
    code, told = checked()
    assert code == 0, told
    whole = make.files(Scale())[BOARD]
    for name, right, wrong in (("size", '"w": 6', '"w": "6"'), ("word", '"unit": ', '"unti": ')):
        broken = whole.replace(right, wrong, 1)
        (tmp_path / f"{name}.json").write_text(broken, encoding="utf-8")
    code, told = checked(str(tmp_path))
    assert code != 0
    assert "size.ts" in told
    assert "word.ts" in told
