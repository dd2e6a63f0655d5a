"""Sums up the samples of a training, in the visualizer and in the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from statistics import median

from vrtspike.records.stage_costs import RunLine, Sample
from vrtspike.records.utilisation import SampleUtilisation
from vrtspike.reporting.cost_tables import CostMedians, measured_costs_table


class CostSummary:
    """The latest samples of one process.

    Args:
        most: Number of samples that are kept.
    """

    def __init__(self, most: int) -> None:
        self.samples: deque[Sample] = deque(maxlen=most)
        self._utilisations: deque[SampleUtilisation] = deque(maxlen=most)

    def add(self, sample: Sample, used: SampleUtilisation | None) -> None:
        """Add a sample and its utilisation, if that is known."""
        self.samples.append(sample)
        if used is not None:
            self._utilisations.append(used)

    def text(self, run: RunLine | None, ranks: list[CostMedians], iterations: int, warmup: int) -> str | None:
        """Return the table of the medians, or why there is none; None if nothing was trained.

        Args:
            run: What the run is; None without samples.
            ranks: Medians of all processes.
            iterations: That the training had.
            warmup: How many of them could not be sampled.
        """
        if self.samples:
            return '\n' + measured_costs_table(self.samples, run, ranks, self._utilisations).text()
        if not iterations:
            return None
        return (
            f'StageCostHook took no sample: the training had {iterations} iterations, of which the first {warmup} are '
            'warm-up; lower warmup or interval'
        )


def scalars_of(sample: Sample, used: SampleUtilisation | None) -> dict[str, float]:
    """Return what the visualizer gets of a sample."""
    scalars = {f'stage_ms/{name}': sum(phases.values()) for name, phases in sample.stages().items()}
    if used is not None:
        scalars['mfu'] = used.iteration.mfu
        if used.iteration.hfu is not None:
            scalars['hfu'] = used.iteration.hfu
    return scalars


def compared_with_compiled(iteration_ms: list[float], sampled: Collection[int], warmup: int) -> str:
    """Return how the sampled iterations, which run uncompiled, compare with the others after the warm-up."""
    after = range(warmup, len(iteration_ms))
    uncompiled = median(iteration_ms[i] for i in after if i in sampled)
    others = [iteration_ms[i] for i in after if i not in sampled]
    compiled = f'the compiled ones {median(others):.1f} ms' if others else 'there were no compiled ones'
    return f'sampled iterations, which run uncompiled, took {uncompiled:.1f} ms, {compiled} (medians)'
