"""The gRPC process as gunicorn's arbiter has it: a worker among the HTTP workers, of another class.

gunicorn starts, watches and replaces it as it does those. gRPC is imported after the fork.
"""

import math
import os
import time
from collections.abc import Callable
from typing import Any

from gunicorn.workers.base import Worker

from server.config import ServerConfig

NAME = "grpc-0"
"""The name of the process, in the metrics too."""
LOOK_S = 0.1
"""The seconds between two looks at what the process is to do."""
LAST_CALL_S = 1.0
"""The seconds for which a process that is to end says that it is not ready, and takes calls still:
callers that watch its health go elsewhere meanwhile."""
SPARE_S = 2.0
"""The seconds by which the calls have ended before gunicorn kills what is left."""


class GrpcWorker(Worker):  # type: ignore[misc]
    """Answers calls by gRPC.

    Where there are too many workers, gunicorn ends the oldest. This one is never that: there is one
    of it, and it stays at a reload as the engines do.
    """

    sockets: list[Any]

    def __init__(self, age: int, *args: Any, **settings: Any) -> None:
        super().__init__(age, *args, **settings)
        self.age = math.inf
        self._hurries = False

    def init_process(self) -> None:
        listeners, self.sockets = self.sockets, []
        for listener in listeners:  # HTTP's callers would queue there while the server ends
            listener.sock.close()
        super().init_process()

    def load_wsgi(self) -> None:
        """Begin to answer calls, instead of loading the application of HTTP."""
        from server.grpc.process import GrpcProcess

        log_access = self.log.access if self.cfg.accesslog else None
        self._process = GrpcProcess(ServerConfig.from_env(), log_access)

    def handle_quit(self, *_: object) -> None:
        """Have this worker end at once, after SIGINT at the arbiter; calls are cancelled."""
        self._hurries = True
        self.alive = False

    def run(self) -> None:
        """Answer calls until this worker is to end, or its arbiter is gone, and then drain."""
        while self.alive and self.ppid == os.getppid():
            self._process.look()
            self._pause()
        left_s = 0.0 if self._hurries else self.cfg.graceful_timeout - SPARE_S
        self._drain(time.monotonic() + left_s)
        self._process.close()
        if self._process.calls.active:
            os._exit(0)  # Python's own exit would wait for their threads

    def _drain(self, ends: float) -> None:
        """Say that this worker is not ready, then take no more calls, then finish those it has."""
        server, calls = self._process.server, self._process.calls
        server.tell_health(False)
        last_call = min(ends, time.monotonic() + LAST_CALL_S)
        while time.monotonic() < last_call:
            self._pause()
        calls.is_ending = True
        self._let_finish(ends)
        if time.monotonic() < ends:
            self._pause()  # for those who call again and again to hear of it
        server.refuse_calls(max(0.0, ends - time.monotonic()))
        self._pause()  # for what was on its way
        self._let_finish(ends)

    def _let_finish(self, ends: float) -> None:
        """Wait until no call is active, but not beyond ``ends``."""
        calls = self._process.calls
        while calls.active and time.monotonic() < ends:
            calls.sweep()
            self._pause()

    def _pause(self) -> None:
        self.notify()
        time.sleep(LOOK_S)


def start_one(start: Callable[..., Any], arbiter: Any) -> Callable[..., Any]:
    """Return ``start``, gunicorn's start of a worker, which starts a ``GrpcWorker`` too.

    HTTP workers go before it. There is none where gunicorn is told to have one worker (SIGTTOU).
    """

    def start_worker(**options: Any) -> Any:
        workers, http_class = arbiter.WORKERS.values(), arbiter.worker_class
        is_there = any(isinstance(worker, GrpcWorker) for worker in workers)
        if not is_there and len(workers) >= arbiter.num_workers - 1:
            arbiter.worker_class = GrpcWorker
        try:
            return start(**options)
        finally:
            arbiter.worker_class = http_class

    return start_worker
