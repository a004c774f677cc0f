"""Open arrivals for `tidegate drill run`: each order is sent when it is due, whoever still waits.

Started by the drill, one process a core, with its plan in TIDEGATE_DRILL_PLAN; a person wants
locustfile.py. Locust's own users are a closed model: a stalled engine would slow its generator, and
the stall would hardly show. Here latency counts from the instant at which an order was due.
"""

import os
import sys
import time
from collections import Counter, deque
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import gevent
import msgspec
import orjson
from gevent.pool import Pool
from locust import FastHttpUser, task

from engine.simulation.drill import plan as plans
from engine.simulation.drill.curve import arrivals
from engine.simulation.drill.plan import Plan
from engine.simulation.drill.tally import Tally


def waited(path: Path) -> bytes:
    """Return what stands in a file once it is there; end with the drill that was to write it."""
    while not path.exists():
        if os.getppid() != PARENT:
            sys.exit("the drill is gone")
        time.sleep(0.01)
    return path.read_bytes()


PARENT = os.getppid()
PLAN = msgspec.json.decode(waited(Path(os.environ["TIDEGATE_DRILL_PLAN"])), type=Plan)
HEADERS = {
    "Authorization": f"Bearer {os.environ['TIDEGATE_ADMIN_KEY']}",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
}
FOLDER = Path(PLAN.folder)
COME_BACK = {0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
TAKEN = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED}
BUSY = 0.95  # of a core
LATE_OVER_S = 3  # seconds over which lateness is judged
LATE_OF_MIN = 100  # arrivals in them
LAST_ANSWERS_S = 5.0


class Answer(NamedTuple):
    """One answer; status 0 is none."""

    status: int
    body: bytes
    seconds: float


class Load:
    """One run of the plan over one Locust client."""

    def __init__(self, client: Any) -> None:
        """Take who sends; nothing is sent before `run`."""
        self._client = client
        self._tally = Tally()
        self._pool = Pool(PLAN.in_flight_max)
        self._told = (FOLDER / f"told-{PLAN.shard}.tsv").open("w", encoding="utf-8")
        self._late: deque[list[float]] = deque([[]], maxlen=LATE_OVER_S)  # by second
        self._aborted = ""
        self._began = 0.0
        self._counts: Counter[str] = Counter()

    def run(self) -> None:
        """Wait for the word, send everything when it is due, and write down what was seen."""
        (FOLDER / f"ready-{PLAN.shard}").touch()
        self._began = float(waited(FOLDER / "go"))
        watching = gevent.spawn(self._watch)
        for n, at_s, body in self._due():
            early = self._began + at_s - time.monotonic()
            gevent.sleep(max(0.0, early))
            if self._aborted:
                break
            late = time.monotonic() - self._began - at_s
            full = self._pool.free_count() < 1
            self._tally.due(at_s, late, dropped=full)
            self._late[-1].append(late)
            if not full:
                self._pool.spawn(self._arrive, n, at_s, body)
        self._pool.join(timeout=PLAN.work.patience_s * PLAN.work.attempts + LAST_ANSWERS_S)
        self._pool.kill()
        watching.kill()
        self._told.close()
        seen = self._tally.close()
        seen.aborted = self._aborted
        path = FOLDER / f"seen-{PLAN.shard}.json"
        path.with_suffix(".part").write_bytes(msgspec.json.encode(seen))
        path.with_suffix(".part").rename(path)

    def _due(self) -> Any:
        """Yield (number, instant, body) of this process' arrivals; an empty body is to be made."""
        if PLAN.orders:
            with Path(PLAN.orders).open("rb") as file:
                for n, line in enumerate(file):
                    at, _, body = line.partition(b"\t")
                    if n % PLAN.shards == PLAN.shard:
                        yield n, float(at), body.rstrip(b"\n")
            return
        for n, at_s in enumerate(arrivals(PLAN.curve, PLAN.seconds, PLAN.seed)):
            if n % PLAN.shards == PLAN.shard:
                yield n, at_s, b""

    def _arrive(self, n: int, at_s: float, body: bytes) -> None:
        chance = plans.draws(PLAN, n)
        if chance.random() < PLAN.work.sync_share:
            for snapshots in plans.snapshots(PLAN, n, int(time.time() * 1_000)):
                self._bring(n, at_s, snapshots)
            return
        body = body or orjson.dumps(plans.order(PLAN, n))
        order_id = self._buy(n, at_s, body, chance)
        if not order_id:
            return
        if chance.random() < PLAN.work.again_share:
            self._again(n, body, order_id)
        if chance.random() < PLAN.work.pay_share:
            self._pay(n, order_id, chance)

    def _buy(self, n: int, at_s: float, body: bytes, chance: Random) -> str:
        """Ask for an order until there is an answer or patience ends; return its order_id."""
        unsure, code = False, ""
        for attempt in range(PLAN.work.attempts):
            if attempt:
                self._tally.seen.retried += 1
                gevent.sleep(PLAN.work.pause_s * chance.uniform(0.5, 1.5))
            answer = self._post("/v1/orders", body)
            now = self._now()
            if answer.status in TAKEN:
                order_id: str = orjson.loads(answer.body)["order_id"]
                self._tally.accepted(at_s, now, answer.seconds)
                repeat = answer.status == HTTPStatus.OK
                self._tally.seen.repeated += repeat
                if repeat and not unsure:  # who was told nothing, or that nothing was taken
                    self._tell(n, "differs", f"known at attempt {attempt + 1}, before: {code!r}")
                self._tell(n, "taken", order_id)
                return order_id
            code = self._refusal(answer, now)
            unsure = unsure or code in {"", "outcome_unknown"}
            if answer.status not in COME_BACK:
                break
        now = self._now()
        if unsure:
            self._tally.unknown(now)
            self._tell(n, "unknown", code)
        else:
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                self._tally.refused(at_s, now, answer.seconds, code)
            self._tell(n, "refused", code)
        return ""

    def _refusal(self, answer: Answer, now: float) -> str:
        """Return the code of an answer that took nothing; empty when there was none."""
        if not answer.status:
            return ""
        try:
            code = str(orjson.loads(answer.body)["code"])
        except (ValueError, KeyError, TypeError):
            code = str(answer.status)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._tally.failed(now, code)
        return code

    def _again(self, n: int, body: bytes, order_id: str) -> None:
        answer = self._post("/v1/orders", body)
        if answer.status in COME_BACK:
            self._refusal(answer, self._now())
            return
        same = answer.status == HTTPStatus.OK and orjson.loads(answer.body)["order_id"] == order_id
        self._tally.seen.repeated += same
        if not same:
            self._tell(n, "differs", f"{answer.status} {answer.body[:100]!r}")

    def _pay(self, n: int, order_id: str, chance: Random) -> None:
        amount = {"amount": plans.PRICE, "currency": plans.CURRENCY}
        body = orjson.dumps({"payment_id": "p", "amount": amount, "method": "alipay"})
        for _attempt in range(max(2, PLAN.work.attempts)):
            answer = self._post(f"/v1/orders/{order_id}/payments", body, "pay")
            if answer.status in TAKEN:
                self._tally.seen.paid += 1
                self._tell(n, "paid", order_id)
                return
            code = self._refusal(answer, self._now())
            if answer.status not in COME_BACK:
                self._tell(n, "unpaid", code)
                return
            gevent.sleep(PLAN.work.pause_s * chance.uniform(0.5, 1.5))

    def _bring(self, n: int, at_s: float, body: plans.Body) -> None:
        """Bring snapshots until each was answered; they were sold already, so nobody gives up."""
        gevent.sleep(body.after_s)
        documents, first = body.documents, True
        while documents:
            answer = self._post("/v1/orders:sync", orjson.dumps({"orders": documents}), "sync")
            now = self._now()
            if answer.status == HTTPStatus.OK:
                results = orjson.loads(answer.body)["results"]
                documents = self._synced(documents, results, (at_s, now, answer.seconds))
            elif answer.status not in COME_BACK:
                self._tell(n, "differs", f"sync {answer.status} {answer.body[:100]!r}")
                return
            else:
                self._refusal(answer, now)
            if documents:
                self._tally.seen.retried += 1
                if not first and self._aborted:
                    return
                first = False
                gevent.sleep(PLAN.work.pause_s)

    def _synced(self, documents: Any, results: Any, times: tuple[float, float, float]) -> list[Any]:
        again = []
        for document, told in zip(documents, results, strict=True):
            if told["status"] in COME_BACK:
                again.append(document)
                continue
            self._tally.snapshot(str(told.get("result", told["status"])))
            order, _, place = document["channel_order_id"].rpartition("-m")
            if told.get("result") == "created":
                self._tally.accepted(*times)
                self._tell(int(place), "synced", str(told["order_id"]))
            elif told["status"] != HTTPStatus.OK:
                self._tell(int(place), "differs", f"{order} {told}")
        return again

    def _post(self, path: str, body: bytes, name: str = "order") -> Answer:
        began = time.monotonic()
        answer = self._client.post(path, data=body, headers=HEADERS, name=name)
        return Answer(answer.status_code or 0, answer.content or b"", time.monotonic() - began)

    def _tell(self, n: int, what: str, more: str) -> None:
        self._told.write(f"{n}\t{what}\t{more}\n")
        self._counts[what] += 1

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _watch(self) -> None:
        """Each second: what was used of a core, and whether this process is what is measured."""
        gevent.sleep(max(0.0, self._began - time.monotonic()))
        before, busy_s = time.process_time(), 0
        while True:
            began = time.monotonic()
            gevent.sleep(1.0)
            used = time.process_time()
            if os.getppid() != PARENT:
                os._exit(1)  # nobody would read the result
            cpu = (used - before) / (time.monotonic() - began)
            before = used
            self._tally.second(max(0.0, self._now() - 1.0)).cpu = cpu
            busy_s = busy_s + 1 if cpu >= BUSY else 0
            self._aborted = self._aborted or self._too_much(busy_s)
            self._late.append([])
            line = {"at_s": self._now(), "cpu": cpu, "counts": self._counts}
            with (FOLDER / f"progress-{PLAN.shard}.json").open("wb") as file:
                file.write(orjson.dumps(line))

    def _too_much(self, busy_s: int) -> str:
        bounds = PLAN.bounds
        if busy_s >= bounds.busy_s:
            return f"it was busy on its whole core for {busy_s} s"
        late = sorted(one for second in self._late for one in second)
        if len(late) < LATE_OF_MIN:
            return ""
        late_ms = late[len(late) * 99 // 100] * 1_000
        if late_ms > bounds.late_p99_ms:
            return f"it sent orders {late_ms:.0f} ms (p99) after they were due"
        return ""


class Crowd(FastHttpUser):
    """All buyers of this process: Locust sees one user, who never waits for an answer."""

    fixed_count = 1
    host = PLAN.url
    concurrency = PLAN.in_flight_max
    network_timeout = connection_timeout = PLAN.work.patience_s

    @task
    def come(self) -> None:
        """Run the whole plan once and stop Locust."""
        try:
            Load(self.client).run()
        finally:
            assert self.environment.runner
            gevent.spawn(self.environment.runner.quit)
            gevent.sleep(60)
