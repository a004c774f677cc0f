"""What the documents say exists: commands, settings, calls, files; and both READMEs agree."""

import re
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from typer.main import get_command

from engine.__main__ import app
from engine.app import OPERATIONS
from engine.campaigns.types import CampaignFields
from engine.catalogue.types import SkuFields
from engine.channels.types import ChannelFields
from engine.inventory.types import MoveFields, PolicyFields
from engine.kernel.ids import order_id
from engine.orders.api import CancelIn
from engine.reservation.types import OrderIn, PaymentIn
from engine.settings import Settings, variable
from engine.snapshots.types import SnapshotsIn

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
PAGES = [
    ENGLISH, CHINESE, "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
    "STYLE.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "ops" / "adr").glob("*.md")),
]  # fmt: skip
ORDER_ID = "f7f335ee7020c188fdd0d28cad"
SYNCED_IDS = {"8001": "a85f66458b23a06f50a7daa931", "8002": "25d6bc3a8c2d3ba404c9f748f9"}

# Read by tests alone.
NO_SETTINGS = {"TIDEGATE_TEST_DATA"}
# Named where the README says what does not exist yet.
LATER_COMMANDS = set()
FOLDERS = "engine|lua|ops|tests"

# What a call of the tour sends, by the end of its path.
BODIES = {
    "/channels/{channel}": ChannelFields,
    "/skus/{sku}": SkuFields,
    "/campaigns/{campaign}": CampaignFields,
    "/supply-policies/{policy}": PolicyFields,
    "/pools:move": MoveFields,
    "/orders": OrderIn,
    "/orders:sync": SnapshotsIn,
    "/payments": PaymentIn,
    "/cancel": CancelIn,
}


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, kind=r"\w*"):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def headings(page):
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]


def commands():
    """Every command as one types it, `key create` as well as `key`."""
    found = set()
    for name, command in get_command(app).commands.items():
        found.add(name)
        found |= {f"{name} {inner}" for inner in getattr(command, "commands", {})}
    return found


def tour():
    """Every curl call of the tour: method, path under /v1, body."""
    script = "\n".join(blocks(ENGLISH, "sh"))
    names = dict(re.findall(r"^(\w+)='(.*?)'$", script, re.MULTILINE | re.DOTALL))
    names["PLACED"] = f"/orders/{ORDER_ID}"
    assert f"PLACED=$API/orders/{ORDER_ID}\n" in script
    calls = []
    call = r"""^tg (?:-X (\w+) )?"?\$(API|PLACED)([^ "\n]*)"?(?: -d (?:'(.*?)'|"\$(\w+)"))?$"""
    for verb, start, path, own, named in re.findall(call, script, re.MULTILINE | re.DOTALL):
        body = own or names.get(named, "")
        whole = (names[start] if start == "PLACED" else "") + path.partition("?")[0]
        calls.append((verb or ("POST" if body else "GET"), f"/v1{whole}", body))
    assert len(calls) == len(re.findall(r"^tg ", script, re.MULTILINE))
    return calls


def operation_of(method, path):
    for one in OPERATIONS:
        pattern = re.sub(r"\{\w+\}", "[^/]+", one.path)
        if one.method.upper() == method and re.fullmatch(pattern, path):
            return one
    return None


def test_both_readmes_have_the_same_code_and_the_same_sections():
    assert blocks(ENGLISH) == blocks(CHINESE)
    assert len(blocks(ENGLISH)) > 10
    assert headings(ENGLISH) == headings(CHINESE)


def test_both_readmes_name_the_same_things():
    def quoted(page):
        return {word for word in re.findall(r"`([^`\n]+)`", text_of(page)) if "/" in word}

    assert quoted(ENGLISH) == quoted(CHINESE)


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_named_exists(page):
    known = {variable(one.name) for one in fields(Settings)} | NO_SETTINGS
    named = set(re.findall(r"TIDEGATE_[A-Z_]+[A-Z]", text_of(page)))
    assert named <= known, sorted(named - known)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_named_exists(page):
    known = commands()
    for words in re.findall(r"(?:`|\.venv/bin/)tidegate ([a-z]+(?: [a-z-]+)?)", text_of(page)):
        first = words.partition(" ")[0]
        grouped = any(one.startswith(f"{first} ") for one in known)
        assert (words if grouped and " " in words else first) in known, f"tidegate {words}"


def test_the_readme_lists_exactly_the_commands_there_are():
    (row,) = re.findall(r"^\| (`up`.*?) \| (.*?) \|$", text_of(ENGLISH), re.MULTILINE)
    there, later = ({*re.findall(r"`([a-z -]+)`", side)} for side in row)
    tops = {one for one in commands() if " " not in one}
    assert {one.partition(" ")[0] for one in there} == tops
    assert later == LATER_COMMANDS
    assert not later & tops


def files_of(text):
    """Paths that a text names; those with a placeholder (NNNN, <name>) are patterns, not files."""
    text = re.sub(r"[\w./-]*(?:<\w+>|NNNN)[\w./<>-]*", "", text)
    named = re.findall(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./-]*\w)", text)
    return named + re.findall(r"`([\w.-]+\.(?:md|toml)|Dockerfile|LICENSE)`", text)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_named_exists(page):
    missing = [path for path in files_of(text_of(page)) if not (ROOT / path).exists()]
    assert not missing


def test_control_a_file_that_is_not_there_is_found():
    text = "see `engine/nothing.py`, `NOTHING.md` and `lua/<name>.lua`, `engine/NNNN_name.sql`."
    assert files_of(text) == ["engine/nothing.py", "NOTHING.md"]


def test_every_call_of_the_tour_is_one_of_the_api():
    for method, path, _ in tour():
        assert operation_of(method, path), f"{method} {path}"


def test_every_body_of_the_tour_is_taken():
    sent = [(operation_of(method, path).path, body) for method, path, body in tour() if body]
    assert {path.removeprefix("/v1") for path, _ in sent} >= {"/orders", "/campaigns/{campaign}"}
    for path, body in sent:
        (kind,) = [kind for end, kind in BODIES.items() if path.endswith(end)]
        msgspec.json.decode(body, type=kind)


def test_the_order_of_the_tour_has_the_id_that_is_shown():
    assert order_id("main", "mall", "T0001") == ORDER_ID


def test_the_marketplace_orders_of_the_tour_have_the_ids_that_are_shown():
    text = text_of(ENGLISH)
    for number, shown in SYNCED_IDS.items():
        assert order_id("main", "tmall", number) == shown
        assert shown in text
