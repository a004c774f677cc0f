"""Run by other tests as a process of its own: an instance without API, which tells its pids.

It stops when its standard input ends.
"""

import json
import sys

from engine import settings as settings_of
from engine.infra.servers.process import Recipe
from engine.infra.servers.supervisor import Supervisor

settings = settings_of.load()
with Supervisor(settings, api_processes=0, workers=0) as supervisor:
    # In the place of an API process: a Python child that would live for an hour.
    supervisor.launch(
        Recipe(
            name="api-0",
            command=(sys.executable, "-c", "import time; time.sleep(3600)"),
            log=supervisor.home.log("api-0"),
            environment={},
        )
    )
    told = {
        "pids": {name: supervisor.pid_of(name) for name in supervisor.names()},
        "database_url": supervisor.settings.database_url,
        "valkey_url": supervisor.settings.valkey_url,
        "home": str(supervisor.home.path),
    }
    print(json.dumps(told), flush=True)  # noqa: T201 - to the test that started us
    sys.stdin.read()
