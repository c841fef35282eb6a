"""A bundle's session, opened on the first plan that works and proves itself."""

import logging
from collections.abc import Callable
from pathlib import Path

from server.bundle.errors import BundleUnreadable
from server.bundle.files import Bundle
from server.runtime.gradient import GradientSession, self_test_gradient
from server.runtime.plans import VARIANT, Plan, SessionError
from server.runtime.session import FloatSession, Session, self_test, self_test_floats

log = logging.getLogger(__name__)


def open_session(
    bundle: Bundle,
    plans: list[Plan],
    threads: int,
    cache: Path | None = None,
    spins: bool = False,
) -> tuple[Session, list[Plan]]:
    """Return a session for the first of ``plans`` that works here, and the plans that did not.

    A plan works when its provider takes the whole graph and draws the golden images. ``cache`` is a
    folder for what a provider compiles. Where ``spins``, threads wait for each other awake.

    Raises:
        SessionError: none of them works; the message has the reason of each.
        BundleUnreadable: the bundle's volume hangs, or reports errors.
    """
    failed: list[Plan] = []
    reasons: list[str] = []
    for plan in plans:
        try:
            variant = bundle.manifest.variant(plan.variant)
            # The graph of float images is the one in float32 without its last nodes, and the
            # gradient's begins with it.
            proven = bundle.manifest.variant(VARIANT) if plan.floats or plan.gradient else variant
            if plan.listed_as in proven.refused:
                raise SessionError("its images changed with the batch when the bundle was proven")
            least_rows = proven.least_rows.get(plan.listed_as, 1)
            kind, test = _kind(plan)
            session = kind(bundle.path / variant.file, plan, threads, cache, least_rows, spins)
            _check_inputs(session, bundle)
            test(session, bundle)
            return session, failed
        except BundleUnreadable:
            raise
        except Exception as error:  # whatever a provider raises, the next plan may still work
            log.warning("%s in %s cannot serve: %s", plan.provider, plan.precision, error)
            failed.append(plan)
            reasons.append(f"{plan.provider} in {plan.precision}: {error}")
    raise SessionError("no runtime can serve this bundle: " + "; ".join(reasons))


def _kind(plan: Plan) -> tuple[type[Session], Callable[[Session, Bundle], float]]:
    """Return the kind of session that ``plan`` wants, and its self-test."""
    if plan.gradient:
        return GradientSession, self_test_gradient
    return (FloatSession, self_test_floats) if plan.floats else (Session, self_test)


def _check_inputs(session: Session, bundle: Bundle) -> None:
    count = len(bundle.manifest.classes)
    if session.takes_classes != bool(count):
        takes = "takes" if session.takes_classes else "takes no"
        raise SessionError(f"its graph {takes} classes, and its manifest names {count}")
