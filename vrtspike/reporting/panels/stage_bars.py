"""Time of the stages, by phase."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.facts import unsynchronised, what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.stage_shares import Bottleneck
from vrtspike.records.stage_costs import PHASES
from vrtspike.reporting.figures import fit_name
from vrtspike.reporting.formatting import number, spaced_percent
from vrtspike.reporting.palette import GREY, PHASE_WHITE, lighter
from vrtspike.reporting.panels.panel import Body, Panel, Run, area_key

BAR = 0.76
#: Heights of a row, and of what is above and below the rows, in inches.
ROW_HEIGHT, MARGIN_HEIGHT = 0.19, 0.75
#: A stage is surely the costliest if it is in this fraction of the resamples.
SURE = 0.95


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw mean milliseconds by stage and phase; for one run also the shares and their intervals."""
    ax = body.add_subplot()
    names = timed_stages(runs)
    scales = clip_scales([run.report for run in runs])
    height = BAR / len(runs)
    for i, (run, scale) in enumerate(zip(runs, scales, strict=True)):
        for row, name in enumerate(names):
            if name in run.report.stages:
                _draw_bar(ax, run, name, row + (i + 0.5) * height - BAR / 2, height, scale)
    if len(runs) == 1:
        _write_shares(ax, names, runs[0].report)
    stage_rows(ax, names)
    unit = f'ms per {"clip" if clips_known([run.report for run in runs]) else what_was_timed(runs[0].report)}'
    shares = '; share with its 95 % interval' if any(b.share_interval for b in runs[0].report.bottlenecks) else ''
    ax.set_xlabel(f'mean {unit}' + (shares if len(runs) == 1 else ''))
    present = [phase for phase in PHASES if any(_means(run.report, phase) for run in runs)]
    return [area_key(phase, lighter(GREY, PHASE_WHITE[phase])) for phase in present]


def stage_rows(ax: Axes, names: Sequence[str]) -> None:
    """Let a plot have a row for every stage, the first at the top."""
    ax.set_yticks(range(len(names)), [fit_name(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.tick_params('y', length=0)
    ax.grid(axis='x')
    ax.locator_params(axis='x', nbins=5)


def rows_height(stages: Sequence[str], runs: Sequence[Run]) -> float:
    """Return the height of a panel with a row for every stage, in inches; rows of several runs are higher."""
    return MARGIN_HEIGHT + ROW_HEIGHT * len(stages) * (1 if len(runs) == 1 else 1.5)


def timed_stages(runs: Sequence[Run]) -> list[str]:
    """Return the stages that took time in any run, in the order they ran."""
    ranked = [{entry.stage for entry in run.report.bottlenecks} for run in runs]
    found = zip(runs, ranked, strict=True)
    return list(dict.fromkeys(name for run, timed in found for name in run.report.stages if name in timed))


def clips_known(reports: Sequence[Report]) -> bool:
    """Whether two runs are compared whose clips per iteration are known: then times are shown per clip."""
    return len(reports) > 1 and all(report.batch.clips for report in reports)


def clip_scales(reports: Sequence[Report]) -> list[float]:
    """Return what the times of every run are multiplied by."""
    known = clips_known(reports)
    return [1 / report.batch.clips if known else 1.0 for report in reports]


def _draw_bar(ax: Axes, run: Run, name: str, y: float, height: float, scale: float) -> None:
    left = 0.0
    for phase, white in PHASE_WHITE.items():
        time = getattr(run.report.stages[name], f'{phase}_ms')
        if time:
            width = scale * time.mean
            colour = lighter(run.stage_colour(name), white)
            ax.barh(y, width, left=left, height=height, color=colour, edgecolor='white', linewidth=0.4)
            left += width


def _write_shares(ax: Axes, names: Sequence[str], report: Report) -> None:
    shares = {entry.stage: entry for entry in report.bottlenecks}
    for row, name in enumerate(names):
        times = [getattr(report.stages[name], f'{phase}_ms') for phase in PHASES]
        end = sum(time.mean for time in times if time)
        place = {'xytext': (4, 0), 'textcoords': 'offset points', 'va': 'center'}
        ax.annotate(share_text(shares[name]), (end, row), fontsize=8, **place)


def _means(report: Report, phase: str) -> list[float]:
    times = (getattr(cost, f'{phase}_ms') for cost in report.stages.values())
    return [time.mean for time in times if time]


def share_text(entry: Bottleneck) -> str:
    """Return a share in percent, with half the width of its interval if that is known."""
    text = f'{entry.share:.1%}'
    if entry.share_interval:
        low, high = entry.share_interval
        text += f' ± {(high - low) / 2:.1%}'
    return text.replace('%', ' %')


def sentence(report: Report) -> str:
    """Say which stage takes most of the time, in which phase, and how sure that is."""
    first, *others = report.bottlenecks
    name, timed = fit_name(first.stage), what_was_timed(report) + unsynchronised(report)
    text = f'{name} takes {spaced_percent(first.share)} of the {timed}{_phase_text(report, first.stage)}'
    if not others:
        return f'{text}.'
    following = f'{fit_name(others[0].stage)} ({spaced_percent(others[0].share)})'
    if first.ahead_of_next is None or first.ahead_of_next >= SURE:
        return f'{text}; next is {following}.'
    return f'{text}; {following} may take as much, they are too close to rank.'


def _phase_text(report: Report, stage: str) -> str:
    times = {phase: getattr(report.stages[stage], f'{phase}_ms') for phase in PHASES}
    means = {phase: time.mean for phase, time in times.items() if time}
    if len(means) < 2:
        return ''
    longest = max(means, key=means.get)
    share = means[longest] / sum(means.values())
    return f', {"most of it" if share > 0.5 else f"{spaced_percent(share)} of that"} {PHASE_WORDS[longest]}'


PHASE_WORDS = {'forward': 'in its forward pass', 'recompute': 'in recomputing', 'backward': 'in its backward pass'}


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say which stage changed most, among those whose change is more than noise."""
    changed = {name: each for name, each in comparison.stages.items() if each.verdict in ('faster', 'slower')}
    if not changed:
        known = any(each.interval for each in comparison.stages.values())
        return 'No stage differs by more than noise.' if known else 'Too few samples to tell changes from noise.'
    name = max(changed, key=lambda name: abs(changed[name].second - changed[name].first))
    ratio = changed[name]
    unit, counts = comparison.unit, f'{len(changed)} of {len(comparison.stages)} stages differ by more than noise'
    return (
        f'{fit_name(name)} changes most, from {number(ratio.first)} to {number(ratio.second)} {unit} '
        f'(x{ratio.ratio:.2f}); {counts}.'
    )


def has_stages(report: Report) -> bool:
    """Return whether the stages of a run were timed."""
    return bool(report.phase_shares and report.bottlenecks)


PANEL = Panel(
    'Where the time goes', has_stages, draw, sentence, compared, lambda runs: rows_height(timed_stages(runs), runs)
)
