"""Ways to lose what a server has, done to an instance under load."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from redis import Redis
from redis.exceptions import RedisError

from engine.infra.servers import ports, process
from engine.infra.servers.postgres import NAME as POSTGRES
from engine.infra.servers.supervisor import Supervisor
from engine.infra.servers.valkey import NAME as VALKEY
from engine.simulation.drill.losing import Lose, Now, kill_valkey_and_delete_its_data

EARLIER = 0.7  # of the append-only file is left at least


def kill_everybody_who_knows(supervisor: Supervisor, now: Now) -> None:
    """Nobody records for a moment; then the cell's data goes, and with it who accepted orders."""
    others = [name for name in supervisor.names() if name not in {VALKEY, POSTGRES}]
    workers = [name for name in others if name.startswith("worker")]
    for name in workers:
        supervisor.kill(name, restart=False)
    time.sleep(0.5)
    for name in set(others) - set(workers):
        supervisor.kill(name, restart=False)
    kill_valkey_and_delete_its_data(supervisor, now)
    for name in others:
        supervisor.start_again(name)


def cut_anywhere(supervisor: Supervisor, now: Now) -> None:
    """The append-only file ends at some byte."""
    _cut(supervisor, now, lambda size, _: random.randrange(int(size * EARLIER), size))


def cut_behind_a_transaction(supervisor: Supervisor, now: Now) -> None:
    """The append-only file ends where nothing shows that more had been there."""
    _cut(
        supervisor,
        now,
        lambda size, ends: random.choice([at for at in ends if at > size * EARLIER]),
    )


def _cut(supervisor: Supervisor, now: Now, where: Callable[[int, list[int]], int]) -> None:
    now()
    supervisor.kill(VALKEY, restart=False)
    folder = supervisor.home.path / VALKEY / "appendonlydir"
    file = max(folder.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    body = file.read_bytes()
    at = where(len(body), list(_ends(body)))
    assert at < len(body)
    with file.open("r+b") as writable:
        writable.truncate(at)
    supervisor.start_again(VALKEY)


def _ends(body: bytes) -> Iterator[int]:
    """Yield behind which bytes a transaction, or a command outside of one, is whole."""
    at, inside = 0, False
    while at < len(body):
        end = body.index(b"\r\n", at)
        words, at = int(body[at + 1 : end]), end + 2
        word = b""
        for n in range(words):
            end = body.index(b"\r\n", at)
            length = int(body[at + 1 : end])
            if n == 0:
                word = body[end + 2 : end + 2 + length].upper()
            at = end + 2 + length + 2
        inside = word == b"MULTI" or (inside and word != b"EXEC")
        if not inside:
            yield at


def replica_behind_by(seconds: float) -> Lose:
    """A real replica that was cut off so long ago takes the address of its dead primary."""

    def promote_a_replica_that_lags(supervisor: Supervisor, now: Now) -> None:
        url = supervisor.settings.valkey_url or ""
        own = supervisor.home.path / VALKEY
        folder = supervisor.home.path / "replica"
        folder.mkdir(exist_ok=True)
        port, taken = ports.free_port(), int(url.rpartition(":")[2].partition("/")[0])
        password = supervisor.home.secret("valkey.password")
        settings = (own / "valkey.conf").read_text().replace(str(own), str(folder))
        settings = settings.replace(f"\nport {taken}\n", f"\nport {port}\n")
        (folder / "valkey.conf").write_text(
            f"{settings}\nmasterauth {password}\nreplicaof 127.0.0.1 {taken}\n"
        )
        recipe = replace(
            supervisor._children.recipe_of(VALKEY),  # noqa: SLF001 - the same server once more
            name=f"{VALKEY}-replica",  # it is stopped with the others
            log=supervisor.home.log("replica"),
        )
        command = (recipe.command[0], str(folder / "valkey.conf"))
        supervisor.launch(replace(recipe, command=command))
        with Redis.from_url(url.replace(f":{taken}/", f":{port}/")) as replica:
            assert process.until(lambda: _follows(replica), within_s=20)
            replica.replicaof("no", "one")
            time.sleep(seconds)  # what it does not hear of any more
            now()
            supervisor.kill(VALKEY, signal.SIGKILL, restart=False)
            assert process.until(lambda: _takes(replica, taken), within_s=10)

    return promote_a_replica_that_lags


def _follows(replica: Redis) -> bool:
    try:
        return replica.info("replication").get("master_link_status") == "up"
    except RedisError:
        return False  # it is starting


def _takes(replica: Redis, port: int) -> bool:
    try:
        replica.config_set("port", port)
    except RedisError:
        return False  # the dead one's connections are still about
    return True


def postgres_put_back_by(seconds: float) -> Lose:
    """Postgres' data directory is what it was so long ago; orders go on all the time."""

    def put_an_older_postgres_back(supervisor: Supervisor, now: Now) -> None:
        cluster = supervisor.home.path / POSTGRES
        earlier = supervisor.home.path / "earlier"
        stop_postgres(supervisor)
        shutil.copytree(cluster, earlier, ignore=shutil.ignore_patterns(".s.PGSQL.*"))
        start_postgres(supervisor)
        time.sleep(seconds)
        now()
        stop_postgres(supervisor)
        owner = cluster.stat()
        shutil.rmtree(cluster)
        earlier.rename(cluster)
        for path in (cluster, *cluster.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        start_postgres(supervisor)

    return put_an_older_postgres_back


def stop_postgres(supervisor: Supervisor) -> None:
    """As the machine would: it recovers from its own log when it is started."""
    supervisor.kill(POSTGRES, restart=False)
    assert process.until(lambda: supervisor.pid_of(POSTGRES) is None, within_s=10)
    time.sleep(0.5)  # its backends notice, and end
    (supervisor.home.path / POSTGRES / "postmaster.pid").unlink(missing_ok=True)


def start_postgres(supervisor: Supervisor) -> None:
    supervisor.start_again(POSTGRES)
    url = supervisor.settings.database_url or ""
    assert process.until(lambda: ports.postgres_answers(url), within_s=20)
