"""The callers of requests, as far as they can hang up."""

import select
from collections.abc import Iterable
from typing import Protocol

from server.worker.event_loop import EventLoop

PEER = "carfront.peer"
"""The key of the caller's ``Peer`` in the WSGI environment of a request."""


class Peer(Protocol):
    """The caller of a request, as far as it can hang up."""

    def fileno(self) -> int:
        """Return the descriptor of the caller's socket."""

    def is_gone(self) -> bool:
        """Return whether a caller that sends no more has hung up altogether, as far as is known."""


def hung_up(loop: EventLoop, peers: Iterable[Peer]) -> set[Peer]:
    """Return those of ``peers`` that have hung up; one that only sends no more still listens."""
    poll, by_descriptor = loop.poll(), {peer.fileno(): peer for peer in peers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLRDHUP)
    gone = select.POLLHUP | select.POLLERR
    return {
        by_descriptor[descriptor]
        for descriptor, events in poll.poll(0)
        if events & gone or by_descriptor[descriptor].is_gone()
    }
