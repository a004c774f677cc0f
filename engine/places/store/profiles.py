"""Profiles of nodes in Postgres."""

from typing import Final

from engine.infra import queries
from engine.infra.versioned import Statements, Table
from engine.kernel import codec
from engine.places.types.profiles import ProfileFields

SQL: Final = queries.load("engine.places")

PROFILES: Final = Table(
    kind="node_profile",
    word="node",
    noun="node profile",
    decode=codec.Decoder(ProfileFields),
    sql=Statements(
        SQL["get_profile"],
        SQL["lock_profile"],
        SQL["list_profiles"],
        SQL["insert_profile"],
        SQL["update_profile"],
    ),
)
