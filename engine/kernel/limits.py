"""Every bound of the engine on one page, and the relations between them.

What differs between deployments is a setting; what is here is the same everywhere.
"""

from typing import Final

# One script call: Lua's unpack fails at 8,000 values and leaves half a batch, so a call stays far
# below it even when every order has several lines.
CLAIMS_PER_CALL_MAX: Final = 256
LINES_PER_CALL_MAX: Final = 1_000
# Of a rebuild nothing is judged, and nobody else asks the cell meanwhile: a call costs mostly its
# fsync, so it writes more.
REBUILD_ITEMS_PER_CALL: Final = 2_000
LUA_UNPACK_MAX: Final = 8_000
LINES_PER_ORDER_MAX: Final = 200
POOLS_PER_CHECKPOINT_PART: Final = 500

# One order.
QUANTITY_MAX: Final = 1_000_000
AMOUNT_MAX: Final = 10**14  # above it Lua prints 1e+14; no order costs a trillion yuan
IDENTIFIER_LENGTH_MAX: Final = 128
ORDER_BYTES_MAX: Final = 64 * 1_024
BODY_BYTES_MAX: Final = 1_024 * 1_024
ORDERS_PER_BATCH_MAX: Final = 500  # of one request; `BODY_BYTES_MAX` bounds it as well
LINES_PER_BATCH_MAX: Final = 5_000
PAYMENTS_PER_ORDER_MAX: Final = 16
CANCELS_PER_ORDER_MAX: Final = 64

# Ingest.
BATCH_DEADLINE_MS: Final = 5_000  # a batch that the cell meets later than this changes nothing
CELL_CALL_TIMEOUT_S: Final = 3.0
QUEUE_MAX: Final = 20_000  # claims that wait for the next batch, per process
KEPT_CLAIMS_MAX: Final = 200_000  # accepted claims kept until the recorder has passed them
# Single orders under way at once: never more than the first, whatever they wait for; and when the
# wait for the cell says overload, as many as wait no longer than the target, but some.
IN_FLIGHT_MAX: Final = 512
IN_FLIGHT_MIN: Final = 96  # calls of fewer cost more each, and wait for the disk all the same
QUEUE_WAIT_MAX_S: Final = 0.05  # longer, even at best: overload
QUEUE_WAIT_TARGET_S: Final = 0.005
# A refusal on a connection that is held and read again costs half an order, so these a twentieth of
# what is served; and some whatever is sent.
REFUSALS_PER_ORDER: Final = 0.1
REFUSALS_PER_SECOND: Final = 200
WAITERS_MAX: Final = 1_000  # `Prefer: wait` requests at once, per process
WAIT_SECONDS_MAX: Final = 30
LISTEN_BACKLOG: Final = 4_096
CONNECTIONS_MAX: Final = 16_384  # per process; fewer where it may not open that many files
HEADERS_WITHIN_S: Final = 15  # from the first byte of a request to the end of its head
BODY_WITHIN_S: Final = 30  # from the end of the head to the end of the body
DRAIN_IDLE_S: Final = 0.5  # for clients that keep a connection, to be told that it ends
ANSWER_READ_WITHIN_S: Final = 60  # a client that leaves bytes unread so long is cut off

# Holds.
HOLD_SECONDS_DEFAULT: Final = 900
GRACE_SECONDS_DEFAULT: Final = 60
HOLD_SECONDS_MAX: Final = 30 * 86_400
IDEMPOTENCY_KEEP_MS: Final = 7 * 86_400_000
SWEEP_INTERVAL_MS: Final = 200

# Recording.
RECORDER_ENTRIES_MAX: Final = 64  # log entries in one transaction
# A recorder that has caught up lets entries collect: fewer commits, fuller statements.
RECORDER_PAUSE_S: Final = 0.05
OWNERSHIP_SECONDS: Final = 5
LEASE_SECONDS: Final = 5
CERTIFY_FIRST_S: Final = 10.0  # after a reconciler began
CERTIFY_EVERY_S: Final = 60.0
CERTIFY_PART_EVERY_S: Final = 15.0  # for each POOLS_PER_CHECKPOINT_PART, where that is longer

# Routing: what is left of a search at its bound is done greedily, and said so in the trace.
PARCELS_PER_ORDER_MAX: Final = 16
SPLIT_STEPS_MAX: Final = 4_000
SPLIT_NODES_MAX: Final = 64  # those with most lines, for three parcels and more
# What warehouses tell.
XML_DEPTH_MAX: Final = 16
XML_ELEMENTS_MAX: Final = 5_000

# Reading.
PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500

# Conditions and plans that operators write.
EXPRESSION_BYTES_MAX: Final = 2_048
EXPRESSION_COST_MAX: Final = 100_000  # steps with the longest lists there may be; about 5 ms
EXPRESSIONS_COST_MAX: Final = 500_000  # of those of one plan that the library evaluates
EXPRESSIONS_BYTES_MAX: Final = 64 * 1_024  # of one plan: to check 2 kB takes up to 26 ms
RULES_PER_PLAN_MAX: Final = 256
HOPS_MAX: Final = 10  # nodes that may refuse an order before a person looks at it

# A claim is written with up to 6 values per line and unpack takes one chunk of them.
assert LINES_PER_CALL_MAX * 6 < LUA_UNPACK_MAX
assert LINES_PER_ORDER_MAX <= LINES_PER_CALL_MAX
# A deadline inside the cell must outlast the client's patience, or every slow call is TOO_LATE.
assert CELL_CALL_TIMEOUT_S * 1_000 < BATCH_DEADLINE_MS
# A hold is swept at most one interval late; that stays far below the hold itself.
assert SWEEP_INTERVAL_MS * 10 <= HOLD_SECONDS_DEFAULT * 1_000
