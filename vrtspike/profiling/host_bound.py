"""How long a device may have waited for the host, told from two times of every mark.

A GPU works off a queue that the host fills. The host's stamp of a mark says when it was put into the queue, and the
device's stamp says when the device came to it. The difference is the lag: how much work was queued. Between two marks,
the device can only wait while the host still issues the work between them, and not before the device has come to the
first mark. So the waiting is at most

    max(0, time in which the host issued the work - lag at the first mark)

milliseconds, which we call host-bound. In the rest of the interval all work was in the queue, and the device computed.
If an interval is host-bound to its end, faster kernels would not shorten it: it is launch-bound. A stage that itself
waits for the device, by ``Tensor.item()`` for example, counts as host-bound too, because it leaves nothing queued.

Host and device have different clocks. They are compared at marks where the host found the queue empty: the lag is zero
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Issue(NamedTuple):
    """The host's side of a mark."""

    ms: float
    """When the mark was put into the queue, on the host's clock."""
    queue_empty: bool
    """Whether the device had finished all work that was issued before."""


def host_bound_ms(lengths_ms: Sequence[float], issues: Sequence[Issue]) -> list[float] | None:
    """Return for every interval between marks, how many of its milliseconds are host-bound.

    It is an upper bound of the device's waiting, and at most the interval's length. None if the queue was empty at no
    mark, so that the two clocks cannot be compared.

    Args:
        lengths_ms: Of the N intervals, on the device.
        issues: Of the N + 1 marks.
    """
    lags = [0.0]  # less that of the first mark, which is not known
    for length, before, after in zip(lengths_ms, issues, issues[1:], strict=False):
        lags.append(lags[-1] + length - (after.ms - before.ms))
    empty = [lag for lag, issue in zip(lags, issues, strict=True) if issue.queue_empty]
    if not empty:
        return None
    no_lag = min(empty)  # a host that is interrupted between its stamp and the device's sees a longer one
    bounds = []
    for length, lag, before, after in zip(lengths_ms, lags, issues, issues[1:], strict=False):
        issuing = after.ms - before.ms - max(lag - no_lag, 0.0)
        bounds.append(min(max(issuing, 0.0), length))
    return bounds
