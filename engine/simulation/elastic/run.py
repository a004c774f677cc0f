"""The command `tidegate elastic simulate`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from engine.campaigns.types import Elastic
from engine.elastic.types import Lending
from engine.infra import importing
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant
from engine.settings import Settings
from engine.simulation.elastic import past, report
from engine.simulation.elastic.play import play
from engine.simulation.elastic.types import Drains, Past
from engine.simulation.orderrows import MalformedFile

_decode: Final = codec.Decoder(Elastic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for; exactly one of `file` and `campaign`.

    `drain_s` is how long marketplaces take to confirm, in the mean.
    """

    file: Path | None = None
    campaign: str = ""
    policy: Path | None = None
    split: tuple[str, ...] = ()
    marketplaces: tuple[str, ...] = ()
    drain_s: float = 5.0
    as_json: bool = False


async def run(settings: Settings, options: Options) -> int:
    """Play a sale with and without lending and show both; 2 when the input is wrong."""
    try:
        given = _decode(options.policy.read_bytes()) if options.policy else None
        found, own = await _past(settings, options)
    except (ValidationFailed, MalformedFile, OSError) as refusal:
        sys.stderr.write(f"{_why(refusal)}\n")
        return importing.USAGE
    if not found.wishes:
        sys.stderr.write("nothing was sold: there is nothing to play\n")
        return importing.FAILED
    policy = given or own or Elastic()
    static, elastic = play(found, None), play(found, policy, _drains(options.drain_s))
    told = report.compare(found, policy, static, elastic)
    if options.as_json:
        sys.stdout.buffer.write(codec.encode(told) + b"\n")
    else:
        sys.stdout.write(report.picture(told, found, static, elastic) + "\n")
    return importing.OK


async def _past(settings: Settings, options: Options) -> tuple[Past, Elastic | None]:
    if options.file is not None:
        shares = dict(_share(text) for text in options.split)
        return past.of_file(options.file, shares, options.marketplaces), None
    async with importing.connected(settings.database_url or "") as connection:
        return await past.of_campaign(connection, Tenant(settings.tenant), options.campaign)


def _share(text: str) -> tuple[str, float]:
    shop, found, number = text.rpartition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not found or not 0 <= share <= past.SHARE_MAX:
        codec.refuse("", f"--split {text}: write SHOP=SHARE, for example mall=0.7")
    return shop, share


def _drains(mean_s: float) -> Drains:
    """Return marketplaces that take half to one and a half times as long, the same in each run."""
    rng = Random(0)

    def takes(_lending: Lending) -> float:
        return mean_s * rng.uniform(0.5, 1.5)

    return takes


def _why(refusal: Exception) -> str:
    if isinstance(refusal, ValidationFailed):
        faults = refusal.extra["errors"]
        assert isinstance(faults, list)
        return "; ".join(f"{one['pointer']} {one['detail']}".strip() for one in faults)
    return str(refusal)
