"""The callers of requests, as far as they can hang up."""

import select
from collections.abc import Iterable
from typing import Protocol

from server.worker.event_loop import EventLoop

PEER = "carfront.peer"
"""The key of the caller's ``Peer`` in the WSGI environment of a request."""
WAITED = "carfront.waited_s"
"""The key in a WSGI environment of the seconds for which the whole request has been there."""


class Peer(Protocol):
    """The caller of a request, as far as it can hang up."""

    def fileno(self) -> int:
        """Return the descriptor of the caller's socket."""

    def is_gone(self) -> bool:
        """Return whether a caller that sends no more has hung up altogether, as far as is known."""


def hung_up(loop: EventLoop, peers: Iterable[Peer]) -> set[Peer]:
    """Return those of ``peers`` that have hung up; one that only sends no more still listens.

    A peer whose socket is closed already, as of a request that was given up, has hung up too.
    """
    poll, by_descriptor, found = loop.poll(), {}, set()
    for peer in peers:
        if (descriptor := peer.fileno()) < 0:
            found.add(peer)
        else:
            by_descriptor[descriptor] = peer
            poll.register(descriptor, select.POLLRDHUP)
    for descriptor, events in poll.poll(0):
        peer = by_descriptor[descriptor]
        if events & (select.POLLHUP | select.POLLERR) or peer.is_gone():
            found.add(peer)
    return found
