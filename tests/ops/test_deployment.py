"""What a deployment is made of: the image's recipe, and the services around it."""

import subprocess
from pathlib import Path

import make
import pytest
import yaml
from scaling import Scale

from engine.settings import Settings, variable

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((OPS / "compose.yaml").read_text(encoding="utf-8"))


def test_the_recipe_of_the_image_is_sound(tool):
    command = [tool("hadolint", "none; it is in the lock"), str(ROOT / "Dockerfile")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_services_are_as_their_schema_has_them(tool, tmp_path):
    check = [tool("check-jsonschema", "none; it is in the lock"), "--builtin-schema"]
    whole = OPS / "compose.yaml"
    broken = tmp_path / "compose.yaml"
    broken.write_text(
        whole.read_text(encoding="utf-8").replace("ports:", "prots:"), encoding="utf-8"
    )
    for path, passes in ((whole, True), (broken, False)):
        command = [*check, "vendor.compose-spec", str(path)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode == 0) == passes, ended.stdout


def test_whom_prometheus_asks_is_a_service(compose):
    jobs = yaml.safe_load(make.files(Scale())["prometheus/prometheus.yml"])["scrape_configs"]
    named = {name for job in jobs for one in job.get("dns_sd_configs", ()) for name in one["names"]}
    named |= {
        target.partition(":")[0]
        for job in jobs
        for one in job.get("static_configs", ())
        for target in one["targets"]
    } - {"127.0.0.1"}
    assert named == {"api", "worker", "postgres-exporter", "valkey-exporter"}
    assert named <= compose["services"].keys()


def test_what_is_mounted_is_there(compose):
    volumes, secrets = compose["volumes"], compose["secrets"]
    for name, service in compose["services"].items():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            assert source in volumes or (OPS / source).is_dir(), f"{name}: {mount}"
        assert set(service.get("secrets", ())) <= secrets.keys()
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "ops/secrets/" in ignored


def test_only_settings_that_exist_are_set(compose):
    known = {variable(name) for name in Settings.__dataclass_fields__}
    for name in ("api", "worker", "migrate"):
        given = {one.removesuffix("_FILE") for one in compose["services"][name]["environment"]}
        assert given <= known
        assert compose["services"][name]["command"] == [name]


def test_the_cells_server_is_set_for_the_default_profile(compose):
    words = compose["services"]["valkey"]["command"][1:]
    told = dict(zip(words[::2], words[1::2], strict=True))
    assert told["--appendonly"] == "yes"
    assert told["--appendfsync"] == "always"
    assert told["--maxmemory-policy"] == "noeviction"
    assert told["--no-appendfsync-on-rewrite"] == "no"
    assert told["--maxmemory"]
