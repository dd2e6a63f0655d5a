"""The tables of a report."""

from __future__ import annotations

from vrtspike.candidates.data_loading import changes_data_loading
from vrtspike.reporting.table import Table
from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.report.verdicts import verdict_of
from vrtspike.tuner.report.view import View
from vrtspike.tuner.trials import Failed, Measured, Pruned, Step, Trial


def bottleneck_table(view: View) -> Table:
    """Return the stages by share."""
    roofline = view.record.profile.roofline or {}
    rows = []
    for entry in view.record.profile.bottlenecks:
        reached = roofline.get(entry.stage) or {}
        efficiency = f'{reached["efficiency"]:.0%}' if reached else ''
        interval = '{:.1%} - {:.1%}'.format(*entry.share_interval) if entry.share_interval else ''
        rows.append([entry.stage, f'{entry.share:.1%}', interval, efficiency, reached.get('bound', '')])
    keys = ('stage', 'share', 'interval', 'roofline_share', 'bound_by')
    return Table(columns=[view.text(key, of=view.whole) for key in keys], rows=rows)


def candidate_table(view: View) -> Table:
    """Return the measured candidates, the fastest first."""
    trials = sorted(view.record.measured, key=lambda trial: -trial.result.saving)
    cells = [candidate_cells(view, trial) for trial in trials]
    keys = [key for key in cells[0] if key != 'of_published' or view.record.saving_of_published(0.0) is not None]
    return Table(columns=[view.text(key) for key in keys], rows=[[row[key] for key in keys] for row in cells])


def candidate_cells(view: View, trial: Trial) -> dict[str, str]:
    """Return the cells of a candidate by column."""
    result = trial.result
    published = saving_of_published(view.record, result)
    quality = view.difference(trial.difference_db) if trial.difference_db else view.text('not_measured')
    return {
        'candidate': trial.name,
        'kind': view.text(trial.kind),
        'ms': f'{result.ms_per_sample:.1f} ({result.default_ms_per_sample:.1f})',
        'saved': f'{result.saving:+.1%}',
        'range': '{:+.1%} / {:+.1%}'.format(*result.interval),
        'predicted': f'{result.predicted_saving:+.1%}',
        'of_published': '' if published is None else f'{published:+.1%}',
        'memory': mib(result.peak_memory_mib),
        'db': '0' if trial.is_exact else quality,
        'verdict': view.text(verdict_of(trial, view.record)),
    }


def saving_of_published(record: SearchRecord, result: Measured) -> float | None:
    """Return what a result saves of the published path, of which only the step was timed, without its data."""
    return None if changes_data_loading(result.overrides) else record.saving_of_published(result.saving)


def step_table(view: View) -> Table:
    """Return what each addition to the combination did."""
    rows = [
        [
            step.added,
            view.answer(step.kept),
            saving_of_step(view, step),
            f'{step.interaction:.2f}' if step.interaction else '',
            mib(step.result.peak_memory_mib) if isinstance(step.result, Measured) else '',
            view.difference(step.difference) if step.difference else '',
        ]
        for step in view.record.steps
    ]
    keys = ('added', 'kept', 'in_all', 'interaction', 'memory', 'db')
    return Table(columns=[view.text(key) for key in keys], rows=rows)


def saving_of_step(view: View, step: Step) -> str:
    """Return what a combination saves, or why it was not measured."""
    match step.result:
        case Measured(saving=saving):
            return f'{saving:+.1%}'
        case Pruned():
            return view.text('pruned', replaces=', '.join(step.replaces))
        case Failed(failure=failure):
            return view.text('failed', why=failure)


def mib(amount: float | None) -> str:
    """Return an amount of memory as text, empty where it is not known."""
    return f'{amount:.0f}' if amount else ''
