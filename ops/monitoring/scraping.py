"""Where Prometheus asks, and whom Alertmanager tells."""

from typing import Any, Final, NamedTuple

from scaling import Scale

# As the services of ops/compose.yaml are called; a name stands for each of its containers.
_NAMED: Final = {"api": ("api", 8080), "worker": ("worker", 9100)}
_FIXED: Final = {
    "postgres": "postgres-exporter:9187",
    "valkey": "valkey-exporter:9121",
    "prometheus": "127.0.0.1:9090",
}
# A cause silences what follows from it: (cause, what follows, labels that must agree).
INHIBITED: Final = (
    ("NoApiAnswers", ("TargetDown", "FactsMissing", "OrdersFailFast", "OrdersFailSlowly"), ()),
    ("ValkeyDown", ("CellClosed", "OrdersNotRecorded", "RecorderStopped", "HoldsNotExpiring",
                    "RoleStopped", "OrdersFailFast", "OrdersFailSlowly", "OrdersLateFast",
                    "OrdersLateSlowly", "QueueWaitLong", "Shedding", "CertificateOld"), ()),
    ("PostgresDown", ("FactsMissing", "OrdersNotRecorded", "RecorderStopped", "RoleStopped",
                      "PoolWaits", "ServerErrors", "CertificateOld"), ()),
    ("CellClosed", ("OrdersFailFast", "OrdersFailSlowly", "OrdersLateFast", "OrdersLateSlowly",
                    "QueueWaitLong", "Shedding", "HoldsNotExpiring", "PaymentsWaiting"), ()),
    ("CellMemoryFull", ("CellMemoryHigh",), ("cell",)),
    ("OrdersFailFast", ("OrdersFailSlowly",), ()),
    ("OrdersLateFast", ("OrdersLateSlowly", "QueueWaitLong"), ()),
    ("ShipByBreached", ("ShipBySoon",), ()),
    ("OversoldByUs", ("CertificateBroken",), ()),
)  # fmt: skip


class Asked(NamedTuple):
    """Who is asked instead of the services of compose.yaml: addresses by job, and Alertmanager."""

    targets: dict[str, list[str]]
    alertmanagers: list[str]


def prometheus(scale: Scale, asked: Asked | None) -> dict[str, Any]:
    """Return prometheus.yml."""
    jobs: list[dict[str, Any]]
    if asked is None:
        jobs = [
            {"job_name": job, "dns_sd_configs": [{"names": [name], "type": "A", "port": port}]}
            for job, (name, port) in _NAMED.items()
        ]
        jobs += [_static(job, [address]) for job, address in _FIXED.items()]
    else:
        jobs = [_static(job, addresses) for job, addresses in sorted(asked.targets.items())]
    managers = ["alertmanager:9093"] if asked is None else asked.alertmanagers
    interval = f"{scale.interval_s}s"
    told: dict[str, Any] = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": f"{min(10, scale.interval_s)}s",
            "evaluation_interval": interval,
        },
        "rule_files": ["rules/recording.yml", "rules/alerts.yml"],
        "scrape_configs": jobs,
    }
    if managers:
        told["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": managers}]}]}
    return told


def _static(job: str, addresses: list[str]) -> dict[str, Any]:
    return {"job_name": job, "static_configs": [{"targets": addresses}]}


def alertmanager() -> dict[str, Any]:
    """Return alertmanager.yml; addresses of people are yours to put in, beside it as files."""
    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": ['severity="page"'],
                    "receiver": "page",
                    "group_wait": "10s",
                    "group_interval": "1m",
                    "repeat_interval": "1h",
                },
                {"matchers": ['severity="ticket"'], "receiver": "ticket"},
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": [f'alertname="{cause}"'],
                "target_matchers": [f'alertname=~"{"|".join(follow)}"'],
                **({"equal": list(equal)} if equal else {}),
            }
            for cause, follow, equal in INHIBITED
        ],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": f"http://alerts:8088/{name}"}]}
            for name in ("page", "ticket")
        ],
    }
