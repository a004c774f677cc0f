"""Build the image and start it: `python ops/image_check.py FOLDER`, with buildah and debootstrap.

Where no registry is reached, the base is a Debian of the same release with the same Python, made by
debootstrap once and kept in the folder. What pip is configured with on this machine holds in the
build, too. Then `migrate`, `worker` and `api` run in it as its own user, over a Valkey and a
Postgres that are started here, until /readyz answers 200. Must be root.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from engine import settings as settings_of
from engine.infra.servers.ports import free_port
from engine.infra.servers.supervisor import Supervisor

ROOT: Final = Path(__file__).parents[1]
BASE: Final = "docker.io/library/python:3.11-slim-bookworm"
NAME: Final = "localhost/tidegate:check"
PACKAGES: Final = "ca-certificates,python3,python3-venv,python3-pip"
_READY_WITHIN_S: Final = 60


class Builder:
    """Buildah, with images and containers in the folder and nowhere else."""

    def __init__(self, folder: Path) -> None:
        """Take where it keeps them."""
        self.folder = folder
        self.environment = os.environ | {  # noqa: TID251 - handed on to buildah
            "STORAGE_DRIVER": "vfs",
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(folder),
        }

    def command(self, verb: str, *words: str) -> list[str]:
        """Return a command of it."""
        store = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        return ["buildah", *store, verb, *words]

    def do(self, verb: str, *words: str) -> str:
        """Run it; what it writes is shown, what it answers is returned."""
        command = self.command(verb, *words)
        done = subprocess.run(  # noqa: S603
            command, env=self.environment, stdout=subprocess.PIPE, check=True, text=True
        )
        return done.stdout.strip()


def main(folder: Path) -> None:
    """Build, start, look, and say what it took."""
    for name in ("buildah", "debootstrap"):
        if shutil.which(name) is None:
            raise SystemExit(f"{name} is not installed (Debian: apt install {name})")
    folder.mkdir(parents=True, exist_ok=True)
    builder = Builder(folder.resolve())
    say_time("base", lambda: base(builder))
    say_time("build", lambda: build(builder))
    container = builder.do("from", NAME)
    try:
        mounted = Path(builder.do("mount", container))
        size = sum(path.lstat().st_size for path in mounted.rglob("*") if path.is_file())
        venv = sum(p.lstat().st_size for p in (mounted / "opt").rglob("*") if p.is_file())
        print(f"files of the image: {size >> 20} MiB, of which the engine {venv >> 20} MiB")
        say_time("first 200 of /readyz", lambda: start(builder, container))
    finally:
        builder.do("rm", container)


def say_time(what: str, act: object) -> None:
    """Do it and print its seconds."""
    began = time.monotonic()
    assert callable(act)
    act()
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


def base(builder: Builder) -> None:
    """Make what the Dockerfile begins with, if it is not here yet."""
    if BASE in builder.do("images", "--format", "{{.Name}}:{{.Tag}}"):
        return
    root, packed = builder.folder / "debian", builder.folder / "debian.tar"
    if not packed.exists():
        options = ["--variant=minbase", f"--include={PACKAGES}", "bookworm"]
        subprocess.run(["debootstrap", *options, str(root)], check=True)  # noqa: S603, S607
        (root / "usr/bin/python").symlink_to("python3")
        with tarfile.open(packed, "w") as archive:
            archive.add(root, arcname=".")
        shutil.rmtree(root)
    container = builder.do("from", "scratch")
    builder.do("add", "--quiet", container, str(packed), "/")
    builder.do("commit", "--quiet", container, BASE)
    builder.do("rm", container)


def build(builder: Builder) -> None:
    """Build the Dockerfile of this checkout."""
    mounts = [word for path in configured() for word in ("--volume", f"{path}:{path}:ro")]
    options = ["--pull-never", "--layers=false", "--tag", NAME, *mounts]
    builder.do("bud", *options, "--file", str(ROOT / "Dockerfile"), str(ROOT))


def configured() -> list[str]:
    """Return the files and folders that pip is configured by here, and the certificates."""
    asked = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout  # noqa: S603
    named = re.findall(r"(?:file://)?(/[\w./-]+)", told)
    # An index in a folder: its pages are in `simple`, what they name may lie beside that.
    folders = [str(Path(path).parent) if Path(path).name == "simple" else path for path in named]
    files = ["/etc/pip.conf", str(Path.home() / ".config/pip"), *folders]
    return sorted({path for path in files if Path(path).exists()})


def start(builder: Builder, container: str) -> None:
    """Run it over servers of its own until it is ready."""
    settings = settings_of.load()
    with (
        Supervisor(settings, ephemeral=True, api_processes=0, workers=0) as servers,
        ExitStack() as stack,
    ):
        port = free_port()
        given = {
            "TIDEGATE_DATABASE_URL": servers.settings.database_url,
            "TIDEGATE_VALKEY_URL": servers.settings.valkey_url,
            "TIDEGATE_ADMIN_KEY": "a-key-of-the-image-check",
            "TIDEGATE_HTTP_HOST": "127.0.0.1",
            "TIDEGATE_HTTP_PORT": str(port),
        }
        options = [f"--env={name}={value}" for name, value in given.items()]
        options += ["--user", "10001:10001", container, "--"]
        builder.do("run", *options, "tidegate", "migrate")
        for role in ("worker", "api"):
            command = builder.command("run", *options, "tidegate", role)
            stack.enter_context(running(command, builder.environment))
        ready(f"http://127.0.0.1:{port}/readyz")


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Run a container; chroot has no processes of its own, so all of its session is ended."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def ready(address: str) -> None:
    """Wait for a 200."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310 - of our own
                print(f"/readyz: {answer.status} {answer.read().decode()}")
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
