"""Write what Prometheus, Alertmanager and Grafana are configured with: `python make.py`.

For a drill: `--out DIR --factor 0.05 --interval 1 --target api=127.0.0.1:8080` and so on writes
the same rules with shorter windows, waits and ages, and asks the given addresses.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import alerts
import dashboards
import orjson
import proofs
import recording
import scraping
import yaml
from scaling import Scale

OPS: Final = Path(__file__).parents[1]
_HEAD: Final = "# Made by ops/monitoring/make.py; change it there.\n"


def files(scale: Scale, asked: scraping.Asked | None = None) -> dict[str, str]:
    """Return every file by its path below ops/."""
    made = {
        "prometheus/prometheus.yml": _yaml(scraping.prometheus(scale, asked)),
        "prometheus/rules/recording.yml": _yaml(recording.document(scale)),
        "prometheus/rules/alerts.yml": _yaml(alerts.document(scale)),
        "alertmanager/alertmanager.yml": _yaml(scraping.alertmanager()),
    }
    if scale.factor == 1:  # tests count on the windows as they are written
        made |= {f"prometheus/tests/{name}": _yaml(one) for name, one in proofs.documents().items()}
    for one in dashboards.documents():
        made[f"grafana/dashboards/{one['uid'].removeprefix('tidegate-')}.json"] = _json(one)
    for path, one in dashboards.provisioning().items():
        made[f"grafana/provisioning/{path}"] = _yaml(one)
    return made


def _yaml(told: Any) -> str:
    return _HEAD + yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)


def _json(told: Any) -> str:
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OPS, help="a folder; ops/ by default")
    parser.add_argument("--factor", type=float, default=1.0, help="of windows, waits and ages")
    parser.add_argument("--interval", type=int, default=15, help="seconds between scrapes")
    parser.add_argument("--target", action="append", default=[], help="job=host:port; any number")
    parser.add_argument("--alertmanager", action="append", default=[], help="host:port")
    return parser.parse_args()


def main() -> None:
    """Write them; a path is told where its file has changed."""
    options = _options()
    targets = defaultdict(list)
    for told in options.target:
        job, _, address = told.partition("=")
        targets[job].append(address)
    asked = scraping.Asked(targets, options.alertmanager) if targets else None
    for name, text in files(Scale(options.factor, options.interval), asked).items():
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
