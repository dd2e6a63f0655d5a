"""The progress bar of work with a known number of steps."""

from __future__ import annotations

from collections.abc import Callable
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


def show_task(bar: Progress, description: str) -> Callable[[int, int], None]:
    """Add a task to a progress bar; return a function that shows how many of its steps are done, and of how many."""
    task = bar.add_task(description, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)
