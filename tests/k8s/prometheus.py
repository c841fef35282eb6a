"""A real Prometheus that scrapes servers once a second, and has the alerts' rules in a hurry."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from loadtests.serving import free_port
from tests.servers import get, until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "k8s/components/alerts/prometheusrule.yaml"
FASTER = 60
"""How many times as fast as on a cluster the rules are: a minute is a second."""
PERIOD = "1s"
"""The time between two scrapes, and the longest that one may take: a server that stands still for
less is not gone."""
EVALUATION_PERIOD = "500ms"
JOBS: dict[str, dict[str, Any]] = {
    "carfront": {"relabel_configs": [{"target_label": "namespace", "replacement": "cars"}]},
    "kube-state-metrics": {"honor_labels": True, "metrics_path": "/state"},
    "kubelet": {"honor_labels": True, "metrics_path": "/metrics/cadvisor"},
}
"""What is scraped, and how: what tells of others' pods has the namespaces of these."""
MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Samples = dict[tuple[str, ...], float]
"""The values of an expression, by the values of its labels in the labels' order."""


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, whose targets can be changed."""

    url: str
    folder: Path

    def scrape(
        self,
        targets: Mapping[str, str],
        job: str = "carfront",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Scrape these addresses from now on, each by the name of an instance, and no others.

        ``labels`` are those of every target of the ``job``, which is one of ``JOBS``.
        """
        listed = [
            {"targets": [address], "labels": {"instance": name, **(labels or {})}}
            for name, address in targets.items()
        ]
        draft = self.folder / f"{job}.draft"
        draft.write_text(json.dumps(listed))
        draft.rename(self.folder / f"{job}.json")

    def ask(
        self, expression: str, window: str = "20s", job: str = ".*", namespace: str = ".*"
    ) -> Samples:
        """Return what an expression of the dashboard or of an alert is worth now."""
        chosen = _chosen(expression, window, job, namespace)
        found = json.loads(get(f"{self.url}/api/v1/query?query={quote(chosen)}"))
        assert found["data"]["resultType"] == "vector"
        return {
            tuple(value for _, value in sorted(each["metric"].items())): float(each["value"][1])
            for each in found["data"]["result"]
        }

    def history(self, expression: str, seconds: int, window: str = "20s") -> list[dict[str, Any]]:
        """Return the values of an expression over the last ``seconds``, as Prometheus has them."""
        now = time.time()
        chosen = quote(_chosen(expression, window))
        path = f"query={chosen}&start={now - seconds}&end={now}&step=1"
        found = json.loads(get(f"{self.url}/api/v1/query_range?{path}"))
        return list(found["data"]["result"])

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire, or did so within ten seconds."""
        fired = 'max_over_time(ALERTS{alertstate="firing"}[10s])'
        return {name for (name,) in self.ask(f"count by (alertname) ({fired})")}


@contextmanager
def watching(folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus with its files in ``folder``; without one, skip the test."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is missing: `apt-get install prometheus`")
    port = free_port()
    prometheus = Prometheus(f"http://127.0.0.1:{port}", folder)
    for job in JOBS:
        prometheus.scrape({}, job)
    (folder / "rules.yaml").write_text(yaml.safe_dump(faster(yaml.safe_load(RULES.read_text()))))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(_settings(folder)))
    options = ("config.file=prometheus.yaml", f"storage.tsdb.path={folder / 'data'}",
               f"web.listen-address=127.0.0.1:{port}", "log.level=error")  # fmt: skip
    command = [program, *(f"--{option}" for option in options)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        until(lambda: _is_ready(prometheus.url, process))
        yield prometheus
    finally:
        process.terminate()
        process.wait()


def _chosen(expression: str, window: str, job: str = ".*", namespace: str = ".*") -> str:
    """Return an expression with what is chosen on the dashboard."""
    chosen = expression.replace("$__rate_interval", window)
    return chosen.replace("$job", job).replace("$namespace", namespace)


def _settings(folder: Path) -> dict[str, Any]:
    return {
        "global": {
            "scrape_interval": PERIOD,
            "scrape_timeout": PERIOD,
            "evaluation_interval": EVALUATION_PERIOD,
        },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": job,
                "file_sd_configs": [{"files": [f"{job}.json"], "refresh_interval": "1s"}],
                **options,
            }
            for job, options in JOBS.items()
        ],
    }


def faster(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a PrometheusRule's rule file with all times as much shorter.

    Sums over a rate that is recorded once a minute count by the minute.
    """
    text = re.sub(r"\) \* 60 >= ", f") * {60 / FASTER} >= ", json.dumps(resource["spec"]))

    def shorter(found: re.Match[str]) -> str:
        before, number, unit = found.groups()
        return f"{before}{int(number) * MILLISECONDS[unit] // FASTER}ms"

    text = re.sub(r'(\[|"for": "|"interval": ")(\d+)([smhd])\b', shorter, text)
    return dict(json.loads(text))


def _is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "Prometheus has ended"
    try:
        get(f"{url}/-/ready")
    except OSError:
        return False
    return True
