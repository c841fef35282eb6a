"""The users, the load shape and the verdict of a load test, for Locust.

    locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:8000 -u 32 -t 20s

The command is run in the repository's root. ``python -m loadtests.run`` starts a server too.
"""

import logging
import signal
import sys
from typing import Any

import gevent
from locust import events
from locust.runners import WorkerRunner

from loadtests.load import shape, slo
from loadtests.load.collector import Collector
from loadtests.load.driver import Driver
from loadtests.load.named_files import BadFile
from loadtests.load.ramp import Ramp
from loadtests.load.slo import SLO, Latency
from loadtests.load.users import (
    BadClient,
    CacheHitter,
    DataSetBuilder,
    Integrator,
    OIPClient,
    PageVisitor,
    SingleImage,
    TFServingClient,
)
from loadtests.load.verdict import Verdict
from loadtests.serving import ROOT

__all__ = [
    "BadClient",
    "CacheHitter",
    "DataSetBuilder",
    "Driver",
    "Integrator",
    "OIPClient",
    "PageVisitor",
    "SingleImage",
    "TFServingClient",
]

log = logging.getLogger(__name__)
collector = Collector()
collector.register()


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Add the options of the shape, the SLO and the golden images."""
    parser.add_argument("--shape", default="steady", help="load shape: a name, or a file of TOML")
    parser.add_argument("--slo", default="default", help="what to keep: a name, or a file of TOML")
    parser.add_argument(
        "--models",
        default=str(ROOT / "models"),
        help="model repository, whose golden images known seeds are compared with",
    )
    parser.add_argument(
        "--max-failure-ratio", type=float, help="in place of the SLO's largest share of failures"
    )
    parser.add_argument(
        "--max-p95-ms", type=float, help="in place of the SLO's limit for p95 of a single image"
    )


@events.init.add_listener
def begin(environment: Any, **_: Any) -> None:
    """Read shape and SLO, and take signals; gevent's clock stood still during the imports."""
    gevent.get_hub().loop.update_now()
    if isinstance(environment.runner, WorkerRunner):
        return
    options, driver = environment.parsed_options, environment.shape_class
    try:
        driver.shape, objective = shape.load(options.shape), slo_of(options)
    except BadFile as error:
        log.error("error: %s", error)
        sys.exit(2)
    driver.collector = collector
    if options.headless:
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, driver.stop)
    if driver.shape.until_missed:
        driver.ramp = Ramp(driver.shape, objective)
        collector.records.append(driver.ramp.record)
    Verdict(environment, collector, objective, driver.ramp).register()


def slo_of(options: Any) -> SLO:
    """Return the SLO that the command line says.

    Raises:
        BadFile: there is no such SLO.
    """
    p95_ms = options.max_p95_ms
    latency = None if p95_ms is None else Latency("single image", 95, p95_ms)
    return slo.load(options.slo).with_limits(options.max_failure_ratio, latency)
