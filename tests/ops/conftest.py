"""The tools of Debian that judge what ops/ has, and the table that its files are made of."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "ops" / "monitoring"))


@pytest.fixture(scope="session")
def tool():
    """Find a program; a test without its own is skipped, and says which one and from where."""

    def find(name, package):
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found is None:
            pytest.skip(f"{name} is not installed (Debian: apt install {package})")
        return found

    return find
