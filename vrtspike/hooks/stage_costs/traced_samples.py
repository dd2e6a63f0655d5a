"""The trace of the first samples, for Perfetto."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import get_rank
from mmengine.runner import Runner

from vrtspike.records.rank_files import file_of_rank
from vrtspike.records.stage_costs import RunLine, Sample
from vrtspike.records.trace import FILE_NAME, trace_of, write_trace


class TracedSamples:
    """Collects the samples that are traced, and writes them to one file in the run's folder.

    Args:
        count: How many are expected. The file is written as soon as all of them are there.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._samples: list[Sample] = []

    def add(self, runner: Runner, sample: Sample, run: RunLine) -> None:
        """Add a sample, if it is traced."""
        if sample.spans:
            self._samples.append(sample)
            if len(self._samples) == self.count:
                self.write(runner, run)

    def write(self, runner: Runner, run: RunLine | None) -> None:
        """Write the samples that have not been written."""
        if self._samples:
            path = Path(runner.work_dir, file_of_rank(FILE_NAME, get_rank()))
            write_trace(path, trace_of(self._samples, run))
            runner.logger.info(f'A trace of {len(self._samples)} iterations is in {path}: open it in ui.perfetto.dev')
            self._samples = []
