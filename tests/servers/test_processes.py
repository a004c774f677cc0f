"""An instance as its own process: no orphans, as root and as an ordinary user."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("instance.py")
ORDINARY = 65_534


class Instance:
    """instance.py, started under some account."""

    def __init__(self, account, **env):
        wrapper, python, identity = account
        path = os.pathsep.join([str(ROOT), *(p for p in sys.path if p.endswith("site-packages"))])
        self.process = subprocess.Popen(
            [*wrapper, python, str(SCRIPT)],
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            **identity,
        )
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        told = json.loads(line)
        self.pids, self.home = told["pids"], Path(told["home"])
        self.database_url = told["database_url"]

    def family(self):
        """Every pid of the instance, with the backends of Postgres."""
        own = set(self.pids.values())
        return own | {pid for pid, parent in parents().items() if parent in own}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=30)


def parents():
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if fields[0] != "Z":
            found[int(stat.parent.name)] = int(fields[1])
    return found


def as_ourselves():
    return (), sys.executable, {}


def as_ordinary_user():
    """The account nobody where it can reach a Python and us, else a user namespace."""
    if os.geteuid() != 0:
        return as_ourselves()
    identity = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        if _runs([python, "-c", f"import os; os.stat({str(SCRIPT)!r})"], identity):
            return (), python, identity
    unshare = shutil.which("unshare")
    wrapper = (unshare or "unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    if _runs([*wrapper, "true"], {}):
        return wrapper, sys.executable, {}
    return pytest.skip("no other account can reach a Python here, and user namespaces are off")


def _runs(command, identity):
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=20, **identity)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


ACCOUNTS = {"ourselves": as_ourselves, "ordinary user": as_ordinary_user}


@pytest.fixture(params=ACCOUNTS.values(), ids=ACCOUNTS)
def account(request):
    return request.param()


async def test_after_kill_9_of_the_parent_nothing_is_left(account, eventually):
    with Instance(account, TIDEGATE_EPHEMERAL="1") as instance:
        family = instance.family()
        assert len(family) > len(instance.pids)  # Postgres has children of its own
        assert family <= parents().keys()
        instance.process.send_signal(signal.SIGKILL)
        await eventually(lambda: not family & parents().keys(), within_s=10)


async def test_a_clean_stop_leaves_nothing_and_removes_the_ephemeral_directory(account):
    with Instance(account, TIDEGATE_EPHEMERAL="1") as instance:
        connection = await asyncpg.connect(instance.database_url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        family = instance.family()
        _, errors = instance.process.communicate(timeout=30)
    assert (instance.process.returncode, errors) == (0, "")
    assert not family & parents().keys()
    assert not instance.home.exists()


async def test_what_kill_9_left_behind_is_swept_by_the_next_start(eventually):
    with Instance(as_ourselves(), TIDEGATE_EPHEMERAL="1") as first:
        family = first.family()
        first.process.send_signal(signal.SIGKILL)
        await eventually(lambda: not family & parents().keys(), within_s=10)
    assert first.home.exists()
    with Instance(as_ourselves(), TIDEGATE_EPHEMERAL="1") as second:
        assert not first.home.exists()
        assert second.home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account for Postgres")
async def test_root_with_a_private_home_needs_no_wider_permissions(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with Instance(as_ourselves(), TIDEGATE_DATA_DIR=str(private / "data")) as instance:
        connection = await asyncpg.connect(instance.database_url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        owner = (instance.home / "postgres").stat().st_uid
    assert owner == 0
    assert private.stat().st_mode & 0o777 == 0o700
