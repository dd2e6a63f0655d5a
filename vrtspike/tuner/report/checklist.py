"""The checklist of a report: what was checked, and what the user should run next."""

from __future__ import annotations

from collections.abc import Iterator

from vrtspike.tuner.report.view import View
from vrtspike.tuner.trials import is_affordable, is_known


def checklist(view: View) -> list[str]:
    """Return what was checked, each with its numbers, and then what to run."""
    return [*(_checked(view) if view.record.best else []), *next_steps(view)]


def _checked(view: View) -> Iterator[str]:
    result, default = view.record.best.result, view.record.default_memory_mib
    low, high = result.interval
    yield view.text('check_throughput', answer=view.answer(low > 0), low=low, high=high)
    if result.peak_memory_mib and default:
        answer = view.answer(result.peak_memory_mib < default)
        yield view.text('check_memory', answer=answer, mib=result.peak_memory_mib, default=default)
    yield quality_check(view)


def quality_check(view: View) -> str:
    """Return whether the quality is in range, where that is known."""
    record, difference, loss = view.record, view.record.together_db, view.record.max_loss_db
    if record.best.is_exact:
        return view.text('check_quality', answer=view.text('yes'), db=view.text('exact'), loss=loss)
    if not is_known(difference):
        unknown = view.text(difference.verdict if difference else 'not_measured')
        return view.text('check_quality', answer='?', db=unknown, loss=loss)
    answer = 'yes' if difference.low >= -loss else 'on_the_mean' if is_affordable(difference, loss) else 'no'
    return view.text('check_quality', answer=view.text(answer), db=view.difference(difference), loss=loss)


def next_steps(view: View) -> Iterator[str]:
    """Yield what to run with the optimised config: its training, and where the network is the same, its test."""
    record = view.record
    trains = record.objective == 'train'
    if trains or (record.best and record.best.changes_network):
        yield view.text('check_default', path=record.output.path)
    if trains:
        yield view.text('check_stages', profile=record.profile.run or f'{record.folder}/profile/seed0')
    else:
        yield view.text('check_restore', path=record.output.path)
