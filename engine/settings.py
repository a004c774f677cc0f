"""Every setting, read once from TIDEGATE_*; nothing else reads the environment.

What is the same in every deployment is not a setting but a limit (engine/kernel/limits.py).
A secret may also be given as a file: TIDEGATE_<NAME>_FILE.
"""

# ruff: noqa: RUF009 - `_setting` is dataclasses.field with our metadata

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

Durability = Literal["fsync", "memory", "replica"]
LogLevel = Literal["debug", "info", "warning", "error"]

PREFIX: Final = "TIDEGATE_"
PORT_MAX: Final = 65_535

_PASSWORD: Final = re.compile(r"(?<=:)[^:@/]+(?=@)")


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.strip().isdecimal():
            raise ValueError("is not a whole number")
        if not low <= int(value) <= high:
            raise ValueError(f"is not between {low} and {high}")
        return int(value)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return value

    return parse


def _yes(value: str) -> bool:
    return _one_of("1", "0", "true", "false", "yes", "no")(value.lower()) in {"1", "true", "yes"}


def _matching(pattern: str, meaning: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"is not {meaning}")
        return value

    return parse


def _setting(default: Any, parse: Callable[[str], Any], *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": parse, "secret": secret})


def _state_home(env: Mapping[str, str]) -> Path:
    home = env.get("XDG_STATE_HOME") or Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return Path(home) / "tidegate"


_hosts = _matching(
    r" *[A-Za-z0-9_.:-]+( *, *[A-Za-z0-9_.:-]+)* *",
    "hosts (no addresses), with commas between them",
)
_name = _matching(r"[A-Za-z0-9_-]{1,32}", "1 to 32 letters, digits, - or _")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may differ between two deployments of the same image; ops/env.example explains each.

    `pg_bin` is a directory that holds postgres and initdb; `valkey_bin` a server binary or its
    directory. `http_port` 0 means: any free one. `process_name` is the slot of one process of an
    instance ("api-0"), set by whoever starts several; so is `metrics_socket`.
    """

    database_url: str | None = _setting(None, _text, secret=True)
    valkey_url: str | None = _setting(None, _text, secret=True)
    http_host: str = _setting("127.0.0.1", _text)
    http_port: int = _setting(8080, _whole(0, PORT_MAX))
    api_processes: int = _setting(1, _whole(1, 256))
    admin_key: str | None = _setting(None, _text, secret=True)
    data_dir: Path = _setting(Path("~/.local/state/tidegate"), _path)
    ephemeral: bool = _setting(default=False, parse=_yes)
    pg_bin: Path | None = _setting(None, _path)
    valkey_bin: Path | None = _setting(None, _path)
    durability: Durability = _setting("fsync", _one_of("fsync", "memory", "replica"))
    cell: str = _setting("1", _name)
    log_keep_seconds: int = _setting(60, _whole(0, 86_400))
    drain_seconds: int = _setting(10, _whole(0, 3_600))
    merge_seconds: int = _setting(0, _whole(0, 86_400))
    move_seconds: int = _setting(120, _whole(1, 86_400))
    stop_seconds: int = _setting(21_600, _whole(1, 604_800))
    wms_timeout_seconds: int = _setting(10, _whole(1, 45))  # within a lease of engine/infra/jobs.py
    plain_http_hosts: str = _setting("", _hosts)
    wms_concurrency: int = _setting(16, _whole(1, 1_024))
    router_batch: int = _setting(500, _whole(1, 5_000))
    queue_alarm_seconds: int = _setting(900, _whole(1, 2_592_000))
    decisions_keep_days: int = _setting(30, _whole(1, 3_650))
    buyer_orders_per_minute: int = _setting(0, _whole(0, 60_000))
    webhook_timeout_seconds: int = _setting(10, _whole(1, 60))
    webhook_concurrency: int = _setting(16, _whole(1, 256))
    webhook_keep_days: int = _setting(14, _whole(4, 3_650))  # longer than anything is tried again
    webhook_private_hosts: str = _setting("", _hosts)
    metrics_port: int = _setting(0, _whole(0, PORT_MAX))
    otlp_url: str | None = _setting(None, _text)
    metrics_socket: Path | None = _setting(None, _path)
    log_every: int = _setting(1_000, _whole(0, 1_000_000_000))
    log_level: LogLevel = _setting("info", _one_of("debug", "info", "warning", "error"))
    tenant: str = _setting("main", _name)
    valkey_maxmemory_mb: int = _setting(1_024, _whole(16, 1_048_576))
    drill_hosts: str = _setting("", _hosts)
    process_name: str | None = _setting(None, _name)


class Shown(NamedTuple):
    """One line of `tidegate config show`; a secret's value is already hidden."""

    name: str
    value: str | None
    origin: str


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; an empty variable is an unset one.

    Raises:
        ValueError: the sentence names the variable, what it holds and what it takes.
    """
    return Settings(**{name: value for name, value, _ in _read(env)})


def show(env: Mapping[str, str] = os.environ) -> list[Shown]:
    """Return every setting with its origin: `default`, or the variable it came from."""
    secret = {one.name for one in fields(Settings) if one.metadata["secret"]}
    return [
        Shown(name, hidden(value) if name in secret else _shown(value), origin)
        for name, value, origin in _read(env)
    ]


def environment(settings: Settings, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment in which a child process loads these same settings."""
    inherited = {key: value for key, value in env.items() if not key.startswith(PREFIX)}
    own = {one.name: getattr(settings, one.name) for one in fields(Settings)}
    return inherited | {
        variable(name): str(int(value) if isinstance(value, bool) else value)
        for name, value in own.items()
        if value is not None
    }


def variable(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def hidden(value: str | None) -> str | None:
    """Return a secret fit for a screen: an address without its password, anything else as stars."""
    if not value:
        return None
    return _PASSWORD.sub("***", value) if "://" in value else "***"


def unknown(env: Mapping[str, str] = os.environ) -> list[str]:
    """Return TIDEGATE_* variables that are no setting, for a person who mistyped one."""
    known = set[str]()
    for one in fields(Settings):
        known |= {variable(one.name)}
        known |= {variable(one.name) + "_FILE"} if one.metadata["secret"] else set()
    return sorted(key for key in env if key.startswith(PREFIX) and key not in known)


def _read(env: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    for one in fields(Settings):
        raw, origin = _raw(env, one.name, secret=one.metadata["secret"])
        if raw is None:
            yield one.name, _state_home(env) if one.name == "data_dir" else one.default, "default"
            continue
        try:
            yield one.name, one.metadata["parse"](raw), origin
        except ValueError as refusal:
            told = "(hidden)" if one.metadata["secret"] else repr(raw)
            raise ValueError(f"{origin}={told} {refusal}") from None


def _raw(env: Mapping[str, str], name: str, *, secret: bool) -> tuple[str | None, str]:
    plain, by_file = variable(name), variable(name) + "_FILE"
    if not secret or not env.get(by_file):
        return env.get(plain) or None, plain
    if env.get(plain):
        raise ValueError(f"{plain} and {by_file} are both set: keep one of them")
    try:
        return Path(env[by_file]).read_text(encoding="utf-8").strip() or None, by_file
    except OSError as error:
        raise ValueError(f"{by_file}={env[by_file]!r} cannot be read: {error.strerror}") from None


def _shown(value: object) -> str | None:
    return None if value is None else str(value)
