"""What makes each alert fire, and takes it away again by its runbook."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from tests.ops import causes_of_orders as orders
from tests.ops import causes_of_servers as servers
from tests.ops.instance import Instance


class Cause(NamedTuple):
    """One trouble; `make` lasts as long as it does."""

    alerts: tuple[str, ...]
    told: str
    make: Callable[[Instance], AbstractAsyncContextManager[None]]


# Each row is one turn: causes that leave one another alone.
TURNS = (
    (
        Cause(("UnitsOwed",), "a marketplace sells more than there is",
              orders.a_shop_sells_what_is_not_there),
        Cause(("DeadLetters",), "an entry in the cell's log that is not ours",
              orders.an_entry_is_not_ours),
        Cause(("BrokenPromises", "ShipByBreached", "ShipBySoon", "RoutingQueueOld"),
              "what was sold is lost in its warehouse", orders.what_was_sold_is_lost),
        Cause(("ChannelLag",), "an adapter tells of orders an hour late",
              orders.an_adapter_is_late),
        Cause(("BlocksOld",), "a person forgets an order", orders.a_person_forgets_an_order),
        Cause(("WebhooksOld",), "a receiver of webhooks fails", orders.a_receiver_fails),
        Cause(("WebhookEndpointDisabled",), "a receiver of webhooks is gone",
              orders.a_receiver_is_gone),
        Cause(("Shedding",), "a shop asks more often than its key allows",
              servers.a_shop_asks_too_often),
        Cause(("OversoldByUs", "PoolsBroken", "CertificateBroken"),
              "a pool's row as a bug would leave it", orders.a_pool_is_broken),
    ),
    (
        Cause(("WmsBreakerOpen",), "a warehouse does not answer",
              orders.a_warehouse_does_not_answer),
        Cause(("RoleStopped",), "a lock stays on a table", servers.a_role_waits_for_a_lock),
        Cause(("ServerErrors",), "a migration is half done", servers.a_migration_is_half_done),
    ),
    (
        Cause(("JobsDead",), "a warehouse has another secret", orders.a_warehouse_refuses),
        Cause(("DescriptorsNearLimit",), "a process may open few files",
              servers.few_files_may_be_opened),
        Cause(("PostgresConnectionsHigh",), "somebody takes Postgres' connections",
              servers.somebody_takes_connections),
    ),
    (
        Cause(("CellMemoryHigh", "CellMemoryFull"), "somebody else fills Valkey",
              servers.valkey_is_nearly_full),
    ),
    (
        Cause(("PoolWaits",), "a lock comes again and again", servers.requests_wait_for_a_lock),
    ),
    (
        Cause(("LoopLag",), "the API stands still at times", servers.api_stands_at_times),
    ),
    (
        Cause(("CellClosed", "PaymentsWaiting"), "the cell is closed by hand",
              orders.cell_is_closed),
    ),
    (
        Cause(("TargetDown", "RecorderStopped", "HoldsNotExpiring", "OrdersNotRecorded"),
              "the worker stands still", servers.worker_stands),
    ),
    (
        Cause(("NoApiAnswers",), "the API stands still", servers.api_stands),
    ),
    (
        Cause(("PostgresDown", "FactsMissing"), "Postgres is killed", servers.postgres_is_gone),
    ),
    (
        Cause(("ValkeyDown", "OrdersFailFast", "OrdersFailSlowly"), "Valkey is killed",
              servers.valkey_is_gone),
    ),
    (
        Cause(("FsyncSlow",), "the cell's disk is slow", servers.disk_is_slow),
    ),
    (
        Cause(("OrdersLateFast", "OrdersLateSlowly", "QueueWaitLong"),
              "the cell's disk is very slow in a sale", servers.disk_is_slow_in_a_sale),
    ),
    (
        Cause(("ProcessRestarts",), "a worker is killed again and again",
              servers.worker_dies_again_and_again),
    ),
    (
        Cause(("KeptClaimsHigh", "CertificateOld"), "the worker stands still in a large sale",
              servers.nobody_records),
    ),
)  # fmt: skip
