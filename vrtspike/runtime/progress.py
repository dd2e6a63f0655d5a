"""The progress bar of work with a known number of steps."""

from __future__ import annotations

from typing import Any

from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn


def step_progress(*columns: ProgressColumn, **options: Any) -> Progress:
    """Return a progress bar with the number of finished steps, further columns and the remaining time.

    Args:
        columns: The further columns.
        options: Arguments of :class:`rich.progress.Progress`.
    """
    description, bar, *_ = Progress.get_default_columns()
    return Progress(description, bar, MofNCompleteColumn(), *columns, TimeRemainingColumn(), **options)
