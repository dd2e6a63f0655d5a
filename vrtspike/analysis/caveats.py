"""What limits the numbers of a log: damaged lines, unsynchronised clocks, too few samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from vrtspike.analysis.logs import FORWARD_ONLY, LEGACY, NO_STAGES, RunLog, Start
from vrtspike.analysis.statistics import curves
from vrtspike.analysis.statistics.resampling import FEWEST_BLOCKS
from vrtspike.analysis.statistics.samples import SampleTable
from vrtspike.records.stage_costs import PHASE_KEYS

COVERAGE_TOLERANCE = 0.01
FEW_SAMPLES = FEWEST_BLOCKS**2

UNSYNCHRONISED = (
    'These times were read from the host clock without waiting for the device. On a GPU they are launch and queue '
    'times: a stage is charged with the work of earlier stages, so they rank nothing. On a CPU they are correct.'
)
ONLY_FORWARD = (
    'Only the forward pass was timed: iteration_ms and shares are those of the forward pass, not of an iteration. '
    'Backward pass, optimizer and waiting for data are unknown.'
)
OF_FORMAT = {
    'legacy_timing': (
        UNSYNCHRONISED,
        ONLY_FORWARD,
        "The log's Total counts the forward pass twice, as a whole and as the sum of its parts. Total and its "
        "percentages are ignored; shares here are fractions of the line '前向传播总耗时'.",
        "The first number of a line is the time of the step's last micro-step, and statistics here are over these. "
        '[avg] is the mean since the start, including warm-up; it is given as avg_since_start_ms.',
    ),
    'legacy_print': (
        UNSYNCHRONISED,
        ONLY_FORWARD,
        'Parts that were printed once per scale or stage are summed over one forward pass. Forward passes are '
        'numbered in their order in the log, which does not say which step they belong to.',
    ),
    'legacy_train': (
        "The older code's training log times no stages. iteration_ms is the time of an epoch divided by its steps, "
        'including any validation and saving during the epoch.',
    ),
    'basicsr': (
        "BasicSR's 'time (data)' is a mean over iterations. KAIR gives no times: iteration_ms comes from the time "
        'stamps of two lines without a validation in between, and includes the saving of checkpoints. Either way '
        'spreads are too small, and no stage but the wait for data is known.',
    ),
    'mmengine': (
        "MMEngine's log times only the wait for data, no other stage. Its 'time' and losses are means over the last "
        'window of iterations, which smooths single slow iterations and makes spreads too small.',
    ),
}


def caveats(log: RunLog, costs: SampleTable) -> list[str]:
    """Return every caveat as a sentence or two."""
    rules = (_starts(log), _damage(log), _formats(log), _descriptions(log), _samples(log, costs), _coverage(log, costs))
    return [text for rule in rules for text in rule]


def _starts(log: RunLog) -> Iterator[str]:
    """Tell starts apart: those that were left out, those that were resumed, and files of two trainings at once."""
    if log.left_out:
        left_out = log.left_out.values()
        texts = dict.fromkeys(f'{_iterations(start)} of {start.source}' for starts in left_out for start in starts)
        latest = {f'{starts[0].source} from iteration {starts[0].first}': None for starts in log.starts.values()}
        yield (
            f'The training was started from scratch {1 + max(map(len, left_out))} times; this report is about the last '
            f'start ({", ".join(latest)}). Left out: {"; ".join(texts)}.'
        )
    for starts in log.starts.values():
        for before, start in itertools.pairwise(starts):
            if None not in (before.last, start.first) and start.first <= before.last:
                yield (
                    f'{start.source}: a start resumed at iteration {start.first} after the one before had reached '
                    f'{before.last}: costs count the iterations in between twice, curves show the later start.'
                )
        clips = list(dict.fromkeys(f'{start.clips:.3g}' for start in starts if start.clips))
        if len(clips) > 1:
            yield (
                f'The starts of this run differ in their clips per iteration ({" and ".join(clips)}): times of '
                'iterations are pooled anyway. Compare times per clip.'
            )
        for start in starts:
            if start.backwards:
                yield (
                    f'{start.source}: in {start.backwards} records the iteration repeats or goes back. Two trainings '
                    'wrote to this file, or files were joined: their records are pooled.'
                )


def _iterations(start: Start) -> str:
    """Return which iterations a start has records of."""
    return 'records without iterations' if start.first is None else f'iterations {start.first} to {start.last}'


def _damage(log: RunLog) -> Iterator[str]:
    for source in log.sources:
        if source.damaged:
            lines = 'line' if source.damaged == 1 else 'lines'
            where = f', the first is line {source.first_damaged}' if source.first_damaged else ''
            yield f'{source.path}: {source.damaged} damaged or truncated {lines} of {source.lines} left out{where}.'
        elif not source.records:
            yield f'{source.path}: no record in {source.lines} lines; left out.'


def _formats(log: RunLog) -> Iterator[str]:
    kind = log.cost_format
    yield from OF_FORMAT.get(kind or (log.formats or [''])[0], ())
    if kind and not {'loss', *LEGACY} & {*curves.names(log), kind}:
        yield 'No total loss was logged, so this report does not judge whether the loss falls.'
    if not kind:
        yield 'No times of iterations were logged, so this report says nothing about where time goes.'
    others = {name for name in log.cost_formats if name in FORWARD_ONLY} - {kind}
    if others:
        yield f'Costs come from the {kind} records alone; those of {", ".join(sorted(others))} are left out.'


def _descriptions(log: RunLog) -> Iterator[str]:
    for key in ('config', 'precision', 'world_size', 'device', 'clip_shape'):
        values = {str(getattr(line, key)): None for line in log.descriptions}
        if len(values) > 1:
            yield (
                f'The logs disagree about {key} ({" and ".join(values)}): their samples are pooled anyway. '
                'Analyse the runs separately, or compare them.'
            )
    yield from dict.fromkeys(note for line in log.descriptions for note in line.notes or ())
    uncounted = log.describe('uncounted_ops') or {}
    if uncounted:
        yield f'GMAC leave out these operators, which no rule counts: {", ".join(sorted(uncounted))}.'


def _samples(log: RunLog, costs: SampleTable) -> Iterator[str]:
    if log.cost_format and costs.rows < FEW_SAMPLES:
        yield f'Too few samples for confidence intervals, which need {FEW_SAMPLES}: {costs.rows}.'
    if costs.rows and not costs.trace.exact:
        yield (
            f'Quantiles come from a sketch and are within 0.5 %; intervals and curves from {len(costs.trace.rows)} of '
            f'{costs.rows} samples. Sums, means, shares, extremes and counts are exact.'
        )


def _coverage(log: RunLog, costs: SampleTable) -> Iterator[str]:
    whole = costs.total('iteration_ms')
    if not whole or log.cost_format in NO_STAGES:
        return
    if log.cost_format in LEGACY:
        covered = costs.total('accounted_ms') / whole
    else:
        covered = sum(costs.total(f'stages/{name}/{key}') for name in log.stages() for key in PHASE_KEYS) / whole
    if covered > 1 + COVERAGE_TOLERANCE or (log.cost_format not in LEGACY and covered < 1 - COVERAGE_TOLERANCE):
        yield f'The times of all stages add up to {covered:.1%} of the iteration: shares do not sum to 100 %.'
