"""The house rules that no linter knows."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from engine.infra import keys, queries, scripts
from engine.kernel import limits
from engine.kernel.types import CellId

ROOT = Path(__file__).parents[2]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
SQL_FILES = sorted((ROOT / "engine").rglob("queries.sql"))
# What may be called with which key: the position of the key among the arguments.
COMMAND = re.compile(
    r'(?:redis\.p?call\(|\bwrite\(|\bwrite_all\(|\{ )"(?P<command>[A-Z]+)"(?:, (?P<key>[^,)]+))?'
)
WITHOUT_KEY = {"TIME", "INFO"}


def parts(script: str) -> tuple[str, str]:
    """A script as the server gets it: its own header, and everything it runs."""
    head, body = scripts.source(script).split("]]", 1)
    return head, re.sub(r"--.*", "", body)


def numbers(table: str, text: str) -> set[int]:
    return {int(number) for number in re.findall(rf"{table}\[(\d+)", text)}


@pytest.mark.parametrize("script", scripts.names())
def test_a_script_documents_every_key_and_argument_it_reads(script: str) -> None:
    header, body = parts(script)
    for table in ("KEYS", "ARGV"):
        documented = {
            int(number) for number in re.findall(rf"^{table}\[(\d+)", header, re.MULTILINE)
        }
        read = numbers(table, body)
        # ARGV[3 + i], or the table handed on as it is, is what ARGV[4..] documents
        ranges = {
            int(number) for number in re.findall(rf"^{table}\[(\d+)\.\.\]", header, re.MULTILINE)
        }
        assert bool(ranges) == (f"{table}[3 + i]" in body or f", {table}, " in body)
        assert read <= documented, f"{table} read but not documented"
        assert documented - ranges <= read, f"{table} documented but never read"


@pytest.mark.parametrize("script", scripts.names())
def test_a_header_says_who_calls_what_it_costs_and_every_reply(script: str) -> None:
    header, own = (ROOT / "lua" / f"{script}.lua").read_text(encoding="utf-8").split("]]", 1)
    for heading in ("Called by  engine/", "Cost       O(", "Returns    msgpack"):
        assert heading in header, heading
    for words in re.findall(r'(?:return|pack\(|results\[i\] =) \{ (?:on and )?("[A-Z_]+".*)', own):
        for word in re.findall(r'"([A-Z_]+)"', words):
            assert f'"{word}"' in header, f"{word} is not in the header"
    (caller,) = re.findall(r"Called by  (engine/\w+)/", header)
    assert (ROOT / caller).is_dir(), caller


@pytest.mark.parametrize("script", scripts.names())
def test_a_script_names_its_keys_as_everybody_does(script: str) -> None:
    header, _ = parts(script)
    every = keys.every(CellId("1"))
    for number, name, kind in re.findall(r"^KEYS\[(\d)\] +(\S+) +(\w+)", header, re.MULTILINE):
        assert name.replace("{c}", "{c1}") == every[int(number) - 1]
        assert kind in {"hash", "stream", "zset"}


@pytest.mark.parametrize("script", scripts.names())
def test_every_command_is_given_a_key_that_was_declared(script: str) -> None:
    """In a cluster anything else would be another slot, and no router could know."""
    _, body = parts(script)
    found = list(COMMAND.finditer(body))
    assert len(found) >= 3
    for command in found:
        if command["command"] in WITHOUT_KEY:
            continue
        if command["key"] is None:
            assert re.match(r"[A-Z_]+$", command["command"]), command[0]
            assert command[0].startswith("{ "), f"{command[0]}: no key"
            continue
        if not command[0].startswith("{ "):
            assert re.fullmatch(r"KEYS\[\d\]|key", command["key"]), command[0]
    assert set(re.findall(r"\bfetch\(([^,)]+)", body)) <= {
        "key", "KEYS[1]", "KEYS[3]", "KEYS[4]", "KEYS[6]", "KEYS[7]", "KEYS[8]",
    }  # fmt: skip
    assert "server.call" not in body, "Redis 7.0 knows only `redis.`"


@pytest.mark.parametrize("script", scripts.names())
def test_a_script_has_its_own_tests(script: str) -> None:
    assert (ROOT / "tests" / "lua" / f"test_{script}.py").is_file()


def test_no_fragment_is_left_over() -> None:
    text = "".join(path.read_text() for path in (ROOT / "lua").glob("*.lua"))
    for fragment in (ROOT / "lua" / "include").glob("*.lua"):
        assert f'--- @include "{fragment.stem}"' in text, fragment.name


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("KEEP_MS", limits.IDEMPOTENCY_KEEP_MS),
        ("PAYMENTS_MAX", limits.PAYMENTS_PER_ORDER_MAX),
        ("CANCELS_MAX", limits.CANCELS_PER_ORDER_MAX),
        ("POOLS_PER_PART", limits.POOLS_PER_CHECKPOINT_PART),
    ],
)
def test_bounds_in_scripts_are_those_of_limits(name: str, bound: int) -> None:
    found = []
    for script in scripts.names():
        for line in scripts.source(script).splitlines():
            told = re.fullmatch(r"local ([A-Z_, ]+) = (.+)", line)
            if told and name in told[1].split(", "):
                found.append(told[2].split(", ")[told[1].split(", ").index(name)])
    assert found
    assert set(found) == {str(bound)}


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.parent.name)
def test_every_statement_is_sent_and_only_by_its_own_package(path: Path) -> None:
    package = ".".join(path.parent.relative_to(ROOT).parts)
    text = "".join(one.read_text(encoding="utf-8") for one in path.parent.rglob("*.py"))
    for name in queries.load(package):
        assert f'SQL["{name}"]' in text, f"{package}: {name} is never sent"
    for one in ENGINE:
        if f'queries.load("{package}")' in one.read_text(encoding="utf-8"):
            assert path.parent in one.parents, f"{one} sends the statements of {package}"


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_is_hidden_from_the_running_program(path: Path) -> None:
    """With the order of slices it is never needed, so it would hide a cycle."""
    assert not re.search(r"\bTYPE_CHECKING\b", path.read_text(encoding="utf-8"))


def test_decisions_on_record_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (ROOT / "ops" / "adr").glob("*.md"))
    numbered = [re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", name) for name in names]
    assert all(numbered), names
    found = [int(match[1]) for match in numbered if match]
    assert found == list(range(1, len(found) + 1))


def test_each_flow_is_run_by_one_part_of_ops_test() -> None:
    """As pytest matches what is to be left out: by the whole path, the pattern made absolute."""
    words = (ROOT / "ops" / "test").read_text(encoding="utf-8")
    parts = [str(ROOT / one) for one in re.findall(r"(?:early|late)='([^']+)'", words)]
    flows = sorted((ROOT / "tests" / "flow").glob("test_*.py"))
    left_out = [[fnmatch(str(path), part) for path in flows] for part in parts]
    assert all(sum(some) == 1 for some in zip(*left_out, strict=True))
    assert all(map(any, left_out)), "each part has some"
    (whole,) = re.findall(r"whole='([^']+)'", words)
    assert all(any((ROOT / one).glob("test_*.py")) for one in whole.split())
