"""Rules of review in Postgres: one document a tenant."""

from typing import Final

from engine.infra import queries
from engine.infra.versioned import Statements, Table
from engine.kernel import codec
from engine.review.types.documents import ReviewFields

MAIN: Final = "main"
SQL: Final = queries.load("engine.review")

RULES: Final = Table(
    kind="review_rules",
    word="name",
    noun="set of review rules",
    decode=codec.Decoder(ReviewFields),
    sql=Statements(
        SQL["get_rules"], SQL["lock_rules"], SQL["list_rules"], SQL["insert_rules"],
        SQL["update_rules"],
    ),
)  # fmt: skip
