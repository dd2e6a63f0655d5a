"""Measures what every stage of a network costs while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.runner import Runner

from vrtspike.errors import ConfigError, describe
from vrtspike.hooks.flops_hook import shapes_of
from vrtspike.hooks.iteration_clock import TimedHook, iteration_clock
from vrtspike.hooks.stage_costs.explained_iterations import ExplainedIterations
from vrtspike.hooks.stage_costs.run_line import computing_type, flops_hook, run_line
from vrtspike.hooks.stage_costs.summary import CostSummary, compared_with_compiled, scalars_of
from vrtspike.hooks.stage_costs.traced_samples import TracedSamples
from vrtspike.optim import StepListener, subscribe, unsubscribe
from vrtspike.profiling.batches import batch_size
from vrtspike.profiling.named_stages import NamedStages, Patterns
from vrtspike.profiling.ranges import nvtx_ranges
from vrtspike.profiling.rates import device_rates
from vrtspike.profiling.sampler import StageSampler, is_due
from vrtspike.records.rank_files import file_of_rank
from vrtspike.records.stage_costs import FILE_NAME, Rates, RunLine, Sample
from vrtspike.records.utilisation import SampleUtilisation, sample_utilisation
from vrtspike.records.writer import line_of, sample_line
from vrtspike.registry import HOOKS
from vrtspike.reporting.cost_tables import CostMedians, cost_medians
from vrtspike.runtime.distributed import unwrap_model


@HOOKS.register_module()
class StageCostHook(TimedHook, StepListener):
    """Writes what every stage of sampled iterations costs to ``stage_costs.jsonl`` in the run's folder.

    The time of an iteration begins at the end of the previous one. It is divided, without overlap, among the stages
    that the network marks (each with the phases forward, recompute under activation checkpointing, and backward),
    ``data`` (waiting for the batch and moving it to the device), ``loss``, ``optimizer``, ``communication`` (waiting
    for the gradients of other processes) and ``other``. On a GPU the times come from the GPU's own events, which are
    read later, so that no iteration waits for them. Every process writes its own file; all but the first have their
    rank in the name. ``vrtspike/records/stage_costs.schema.json`` describes the records, and ``tools/analyze_logs.py``
    reads them. The visualizer gets the milliseconds as ``stage_ms/<stage>`` and, if :class:`FlopsHook` has counted the
    network, the fractions of the device's peak as ``mfu`` and ``hfu`` (see :mod:`vrtspike.records.utilisation`).

    Without this hook nothing is measured, and the markers do nothing unless a PyTorch profiler records.

    Args:
        interval: Sample every ``interval``-th iteration.
        warmup: Number of first iterations that are not sampled; at least 1, because the time of an iteration begins at
            the end of the previous one.
        roofline: Measure the device's rates before the training, once for about a second, and compare the stages with
            them.
        summary_samples: The table at the end shows medians of this many latest samples.
        trace: Write the first ``trace`` sampled iterations to ``trace.json.gz`` in the run's folder, for Perfetto and
            ``chrome://tracing``. All ranks but the first have their rank in the name. A resumed training traces again,
            and replaces the file.
        nvtx: Emit NVTX ranges of the stages in all iterations, for Nsight Systems; needs CUDA.
        memory: Iterations whose memory is explained: which stage holds what at the peak. ``True`` explains the first
            one after the warm-up. Such an iteration is several times slower, and its times are not sampled. The table
            is logged, and ``memory.jsonl`` gets it with the memory over time. On a GPU the hook also records the
            allocator's history until the last of them, and writes ``memory_snapshot.pickle``.
        stages: For a network that marks no stages, or not all: the paths of modules by stage, such as
            ``{'stem': 'backbone.conv1', 'body': 'backbone.layer*'}``; see
            :class:`~vrtspike.profiling.named_stages.NamedStages`.
    """

    gives = f'stage costs in {FILE_NAME}'
    unguarded = ('before_run', 'after_train')
    # Last of the hooks: what they do at the end of an iteration is part of its time.
    priority = 'LOWEST'

    def __init__(
        self,
        interval: int = 10,
        warmup: int = 5,
        roofline: bool = True,
        summary_samples: int = 500,
        trace: int = 0,
        nvtx: bool = False,
        memory: bool | Sequence[int] = False,
        stages: Patterns | None = None,
    ) -> None:
        if interval < 1 or warmup < 1:
            raise ConfigError(f'StageCostHook: interval and warmup are at least 1, found {interval} and {warmup}')
        if trace < 0:
            raise ConfigError(f'StageCostHook: trace is a number of iterations, found {trace}')
        if nvtx and not torch.cuda.is_available():
            raise ConfigError('StageCostHook: nvtx=True needs CUDA, and there is none here')
        self.interval = interval
        self.warmup = warmup
        self.roofline = roofline
        self.nvtx = nvtx
        self.stages = stages or {}
        self.summary = CostSummary(summary_samples)
        self.run_record: RunLine | None = None
        self._trace = TracedSamples(trace)
        self._memory = ExplainedIterations([warmup + 1] if memory is True else list(memory or ()))
        self._sampled: set[int] = set()
        """Which iterations of the iteration clock were sampled."""
        self._discarded = 0
        self._rates: Rates | None = None
        self._stack = ExitStack()
        self._sampler: StageSampler | None = None
        """None before and after a training."""

    def before_run(self, runner: Runner) -> None:
        """Find the modules of the named stages.

        Raises:
            ConfigError: A pattern matches no module, or two stages match one.
        """
        self._named = NamedStages(unwrap_model(runner.model), self.stages)

    def before_train(self, runner: Runner) -> None:
        """Open the file and listen to the optimizer wrapper and the parameters."""
        super().before_train(runner)
        self._stack.enter_context(self._named)
        path = Path(runner.work_dir, file_of_rank(FILE_NAME, get_rank()))
        self._file: IO[str] = self._stack.enter_context(path.open('a', buffering=1, encoding='utf-8'))
        # Now, because later the network and its activations need the memory that this takes.
        self._rates = self._measured_rates(runner) if self.roofline else None
        after_backward = 'communication' if get_world_size() > 1 else 'other'
        self._sampler = self._stack.enter_context(StageSampler(runner.model, after_backward, self._trace.count))
        if self.nvtx:
            self._stack.enter_context(nvtx_ranges())
        self._stack.enter_context(self._memory.history(self._sampler.device))
        subscribe(runner.optim_wrapper, self)
        self._stack.callback(unsubscribe, runner.optim_wrapper, self)

    def after_backward(self) -> None:
        """Report that the optimizer begins."""
        self._sampler.backward_over()
        self._memory.backward_over()

    def after_update(self) -> None:
        """Report that the optimizer has ended."""
        self._sampler.optimizer_over()
        self._memory.optimizer_over()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Tell the sampler that the batch has arrived."""
        super().before_train_iter(runner, batch_idx, data_batch)
        if runner.iter + 1 in self._memory.iterations:
            self._sampler.abandon()
            self._memory.watch_next_step(runner, data_batch)
        self._sampler.batch_arrived()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """End a sample, write those that the device has finished, and begin the next one if it is due."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._memory.iteration_over(runner)
        if self._sampler.sampling:
            clips, frames = batch_size(data_batch)
            loss = (outputs or {}).get('loss')
            self._sampled.add(iteration_clock(runner).iterations - 1)
            shapes = shapes_of(data_batch)
            self._sampler.stop(
                loss, iteration=runner.iter + 1, rank=get_rank(), clips=clips, frames=frames, shapes=shapes
            )
        for sample in self._sampler.finished():
            self._write(runner, sample)
        self._start_if_due(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Abandon the sample that a validation interrupts before its iteration has begun."""
        super().before_val_epoch(runner)
        if self._sampler is not None:
            self._sampler.abandon()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Begin the next sample if it is due."""
        super().after_val_epoch(runner, metrics)
        if self._sampler is not None:
            self._start_if_due(runner)

    def after_train(self, runner: Runner) -> None:
        """Write the remaining samples, log the table and stop listening."""
        self.observe(runner, self._write_remaining, runner)
        self.observe(runner, self.close)
        ranks = all_gather_object(cost_medians(self.summary.samples))
        if get_rank() == 0:
            self.observe(runner, self._log_summary, runner, ranks)

    def close(self) -> None:
        """Close the file and stop listening."""
        self._sampler = None
        self._stack.close()

    def _write_remaining(self, runner: Runner) -> None:
        self._sampler.abandon()
        self._discarded = self._sampler.discarded
        for sample in self._sampler.wait():
            self._write(runner, sample)
        self._trace.write(runner, self.run_record)

    def _start_if_due(self, runner: Runner) -> None:
        if is_due(iteration_clock(runner).iterations, self.warmup, self.interval):
            self._sampler.start()

    def _write(self, runner: Runner, sample: Sample) -> None:
        if self.run_record is None:
            for note in self._named.limits():
                runner.logger.warning(note)
            schedule = dict(warmup=self.warmup, interval=self.interval)
            self.run_record = run_line(runner, self._named, self._rates, sample, **schedule)
            self._file.write(line_of(self.run_record))
        used = self._utilisation(runner, sample)
        self.summary.add(sample, used)
        self._file.write(line_of(sample_line(sample, tuple(self.run_record.stages), used)))
        runner.visualizer.add_scalars(scalars_of(sample, used), step=sample.iteration)
        self._trace.add(runner, sample, self.run_record)

    def _utilisation(self, runner: Runner, sample: Sample) -> SampleUtilisation | None:
        """Return the utilisation in a sample, None if clips of its shape were not counted."""
        run = self.run_record
        if not run.costs or not run.rates or sample.shapes != flops_hook(runner).shapes:
            return None
        return sample_utilisation(sample, run.costs, run.rates.gmacs_per_s)

    def _measured_rates(self, runner: Runner) -> Rates | None:
        """Return the device's rates, or None if they cannot be measured."""
        device = next(unwrap_model(runner.model).parameters()).device
        try:
            return device_rates(device, computing_type(runner))
        except Exception as error:
            runner.logger.warning(
                f'The rates of {device} could not be measured ({describe(error)}): this run lacks the comparison with '
                'the roofline.'
            )
            return None

    def _log_summary(self, runner: Runner, ranks: list[CostMedians]) -> None:
        clock = iteration_clock(runner)
        text = self.summary.text(self.run_record, ranks, clock.iterations, self.warmup)
        if text:
            runner.logger.info(text)
        if self._discarded:
            runner.logger.info(f'{self._discarded} sampled iterations are left out: torch.compile compiled in them')
        if runner.cfg.get('compile') and self.summary.samples:
            runner.logger.info(compared_with_compiled(clock.iteration_ms, self._sampled, self.warmup))
