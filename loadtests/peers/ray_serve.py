"""Ray Serve with its dynamic batching: ``python -m loadtests.peers.ray_serve``.

One replica has the session on all processors; ``serve.batch`` makes batches of the rows that wait,
and a thread draws, so that the replica's loop takes requests meanwhile. The settings are those that
Ray's pages name for high throughput: HAProxy in front, and less between proxy and replica.
"""

import argparse
import os
import signal
import tempfile

from loadtests.serving import ROOT, free_port

MOST_REQUESTS = 1024
"""The requests that the replica takes at once; Ray's own five would make batches of five."""
OBJECT_STORE_BYTES = 100 * 2**20
"""The shared memory for objects between processes: requests go past it."""


def settings(folder: str) -> dict[str, str]:
    """Return the environment of Ray's processes, whose files are below ``folder``."""
    return {
        "PYTHONPATH": str(ROOT),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    # The paths of HAProxy's sockets have 97 bytes at most, 56 of which are a digest.
    folder = os.environ.get("TMPDIR") or tempfile.mkdtemp(prefix="ray-")
    os.environ |= settings(folder)
    import ray  # it reads the environment as it is imported
    from ray import serve

    from loadtests.peers.ray_draw import Draw

    processors = len(os.sched_getaffinity(0))
    ray.init(
        num_cpus=processors,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": args.port})
    deployment = serve.deployment(
        Draw,
        max_ongoing_requests=MOST_REQUESTS,
        ray_actor_options={"num_cpus": processors},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    serve.run(deployment.bind())
    signal.sigwait({signal.SIGTERM})
    ray.shutdown()


if __name__ == "__main__":
    main()
