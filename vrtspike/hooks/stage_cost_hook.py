"""Measures what every stage of a network costs while it trains."""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import IO, Any

import msgspec
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.runner import Runner

from vrtspike.errors import ConfigError
from vrtspike.hooks.flops_hook import FlopsHook, shapes_of
from vrtspike.hooks.iteration_clock import TimedHook, iteration_clock
from vrtspike.hooks.observing import describe
from vrtspike.optim import StepListener, subscribe, unsubscribe
from vrtspike.profiling.batches import batch_size
from vrtspike.profiling.explained_memory import ExplainedMemory
from vrtspike.profiling.memory_snapshot import record_history, snapshot_path, stop_history, write_snapshot
from vrtspike.profiling.named_stages import NamedStages, Patterns
from vrtspike.profiling.ranges import nvtx_ranges
from vrtspike.profiling.rates import device_rates
from vrtspike.profiling.sampler import StageSampler
from vrtspike.records import memory as memory_records
from vrtspike.records.memory import MemoryLine
from vrtspike.records.nominal_peaks import nominal_peak
from vrtspike.records.stage_costs import FILE_NAME, CountedCost, Rates, RunLine, Sample, SampleLine
from vrtspike.records.trace import file_name, trace_of, write_trace
from vrtspike.records.utilisation import SampleUtilisation, sample_utilisation
from vrtspike.records.writer import line_of, sample_line
from vrtspike.registry import HOOKS
from vrtspike.reporting.cost_tables import CostMedians, cost_medians, measured_costs_table
from vrtspike.reporting.memory_tables import memory_table
from vrtspike.runtime.distributed import unwrap_model
from vrtspike.runtime.environment import describe_environment


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
        self.trace = trace
        self.nvtx = nvtx
        self.memory = [warmup + 1] if memory is True else list(memory or ())
        """The iterations whose memory is explained."""
        self.samples: deque[Sample] = deque(maxlen=summary_samples)
        self.utilisations: deque[SampleUtilisation] = deque(maxlen=summary_samples)
        self._traced: list[Sample] = []
        self.stages = stages or {}
        self._sampled: set[int] = set()
        """Which iterations of the iteration clock were sampled."""
        self._discarded = 0
        self.run_record: RunLine | None = None
        self._rates: Rates | None = None
        self._stack = ExitStack()
        self._sampler: StageSampler | None = None
        """None before and after a training."""
        self._explained: ExplainedMemory | None = None
        """The iteration that is being explained, if any."""

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
        rank, processes = get_rank(), get_world_size()
        path = Path(runner.work_dir, FILE_NAME if rank == 0 else f'stage_costs_rank{rank}.jsonl')
        self._file: IO[str] = self._stack.enter_context(path.open('a', buffering=1, encoding='utf-8'))
        # Now, because later the network and its activations need the memory that this takes.
        self._rates = self._measured_rates(runner) if self.roofline else None
        after_backward = 'communication' if processes > 1 else 'other'
        sampler = StageSampler(runner.model, after_backward, self.trace)
        self._sampler = self._stack.enter_context(sampler)
        if self.nvtx:
            self._stack.enter_context(nvtx_ranges())
        if self.memory and self._sampler.device.type == 'cuda':
            record_history(self._sampler.device)
            self._stack.callback(stop_history)
        subscribe(runner.optim_wrapper, self)
        self._stack.callback(unsubscribe, runner.optim_wrapper, self)

    def after_backward(self) -> None:
        """Tell the sampler that the optimizer begins."""
        self._sampler.backward_over()
        if self._explained is not None:
            self._explained.backward_over()

    def after_update(self) -> None:
        """Tell the sampler that the optimizer has ended."""
        self._sampler.optimizer_over()
        if self._explained is not None:
            self._explained.optimizer_over()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Tell the sampler that the batch has arrived."""
        super().before_train_iter(runner, batch_idx, data_batch)
        if runner.iter + 1 in self.memory:
            self._sampler.abandon()
            self._explain_next_step(runner, data_batch)
        self._sampler.batch_arrived()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """End a sample, write those that the device has finished, and begin the next one if it is due."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self._explained is not None:
            self._write_memory(runner, self._explained.line(runner.iter + 1, get_rank()))
            self._explained = None
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
        ranks = all_gather_object(cost_medians(self.samples))
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
        self._write_trace(runner)

    def _start_if_due(self, runner: Runner) -> None:
        since_warmup = iteration_clock(runner).iterations - self.warmup
        if since_warmup >= 0 and since_warmup % self.interval == 0:
            self._sampler.start()

    def _write(self, runner: Runner, sample: Sample) -> None:
        if self.run_record is None:
            for note in self._named.limits():
                runner.logger.warning(note)
            self.run_record = self._describe_run(runner, sample)
            self._write_line(self.run_record)
        self.samples.append(sample)
        used = self._utilisation(runner, sample)
        self._write_line(sample_line(sample, tuple(self.run_record.stages), used))
        scalars = {f'stage_ms/{name}': sum(phases.values()) for name, phases in sample.stages().items()}
        if used is not None:
            self.utilisations.append(used)
            scalars |= {'mfu': used.iteration.mfu}
            scalars |= {'hfu': used.iteration.hfu} if used.iteration.hfu is not None else {}
        runner.visualizer.add_scalars(scalars, step=sample.iteration)
        if sample.spans:
            self._traced.append(sample)
            if len(self._traced) == self.trace:
                self._write_trace(runner)

    def _write_trace(self, runner: Runner) -> None:
        """Write the traced iterations that have not been written."""
        if self._traced:
            path = Path(runner.work_dir, file_name(get_rank()))
            write_trace(path, trace_of(self._traced, self.run_record))
            runner.logger.info(f'A trace of {len(self._traced)} iterations is in {path}: open it in ui.perfetto.dev')
            self._traced = []

    def _explain_next_step(self, runner: Runner, batch: Any) -> None:
        """Watch the next step of the model, also if it ends with an error, and only that."""
        explained = ExplainedMemory(unwrap_model(runner.model), [runner.optim_wrapper.optimizer], batch)
        train_step: Callable[..., Any] = runner.model.train_step

        def watched(*args: Any, **kwargs: Any) -> Any:
            del runner.model.train_step
            with ExitStack() as stack:
                try:
                    stack.enter_context(explained.watching())
                except Exception as error:
                    self._explained = None
                    runner.logger.warning(f'The memory of this iteration cannot be explained ({describe(error)})')
                return train_step(*args, **kwargs)

        runner.model.train_step = watched
        self._explained = explained

    def _write_memory(self, runner: Runner, line: MemoryLine) -> None:
        rank = get_rank()
        name = memory_records.FILE_NAME if rank == 0 else f'memory_rank{rank}.jsonl'
        with Path(runner.work_dir, name).open('a', encoding='utf-8') as file:
            file.write(line_of(line))
        if rank == 0:
            runner.logger.info('\n' + memory_table(line).text())
        if self._sampler.device.type == 'cuda':
            write_snapshot(snapshot_path(runner.work_dir, rank))
            if line.iteration == max(self.memory):
                stop_history()

    def _write_line(self, record: RunLine | SampleLine) -> None:
        self._file.write(line_of(record))

    def _utilisation(self, runner: Runner, sample: Sample) -> SampleUtilisation | None:
        """Return the utilisation in a sample, None if clips of its shape were not counted."""
        run, flops = self.run_record, flops_hook(runner)
        if not run.costs or not run.rates or sample.shapes != flops.shapes:
            return None
        return sample_utilisation(sample, run.costs, run.rates.gmacs_per_s)

    def _describe_run(self, runner: Runner, sample: Sample) -> RunLine:
        """Return the record of the run whose first sample is ``sample``."""
        model = unwrap_model(runner.model)
        device = next(model.parameters()).device
        dtype = getattr(runner.optim_wrapper, 'cast_dtype', torch.float32)
        notes = self._notes(runner)
        flops = flops_hook(runner)
        counted = flops and flops.costs
        if counted and counted.note:  # the counted clip is not the one that is timed
            notes.append(f'no rates: {counted.note}')
            counted = None
        costs = counted and counted.counted()
        if costs and any(owner.phase == 'recompute' for owner in sample.times):
            try:
                costs = with_recomputed(costs, flops.recomputed_macs(model))
            except Exception as error:
                notes.append(f'no HFU: what is recomputed could not be counted ({describe(error)})')
        environment = describe_environment(device)
        return RunLine(
            version=1,
            time=datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
            config=Path(runner.cfg.filename).stem if getattr(runner.cfg, 'filename', None) else None,
            rank=get_rank(),
            world_size=get_world_size(),
            stages=list(stages_of(model, self._named)),
            warmup=self.warmup,
            interval=self.interval,
            accumulative_counts=getattr(runner.optim_wrapper, '_accumulative_counts', 1),
            precision=str(dtype).removeprefix('torch.'),
            clip_shape=list(counted.clip_shape) if counted and counted.clip_shape else None,
            costs=costs,
            uncounted_ops=dict(counted.unknown) if counted else {},
            rates=self._rates,
            nominal=nominal_peak(environment['device']['name'], products_in(dtype)) or msgspec.UNSET,
            notes=notes,
            **environment,
        )

    def _measured_rates(self, runner: Runner) -> Rates | None:
        """Return the device's rates, or None if they cannot be measured."""
        device = next(unwrap_model(runner.model).parameters()).device
        dtype = getattr(runner.optim_wrapper, 'cast_dtype', torch.float32)
        try:
            return device_rates(device, dtype)
        except Exception as error:
            runner.logger.warning(
                f'The rates of {device} could not be measured ({describe(error)}): this run lacks the comparison with '
                'the roofline.'
            )
            return None

    def _notes(self, runner: Runner) -> list[str]:
        """Return what limits the measurements of this run."""
        notes = self._named.limits()
        if runner.cfg.get('compile'):
            notes.append('the network is compiled as one, and sampled iterations run uncompiled')
        return notes

    def _log_summary(self, runner: Runner, ranks: list[CostMedians]) -> None:
        if self.samples:
            runner.logger.info(
                '\n' + measured_costs_table(self.samples, self.run_record, ranks, self.utilisations).text()
            )
        elif iteration_clock(runner).iterations:
            runner.logger.info(
                f'StageCostHook took no sample: the training had {iteration_clock(runner).iterations} iterations, of '
                f'which the first {self.warmup} are warm-up; lower warmup or interval'
            )
        if self._discarded:
            runner.logger.info(f'{self._discarded} sampled iterations are left out: torch.compile compiled in them')
        if runner.cfg.get('compile') and self.samples:
            runner.logger.info(self._compared_with_compiled(iteration_clock(runner).iteration_ms))

    def _compared_with_compiled(self, iteration_ms: list[float]) -> str:
        """Return how the sampled iterations compare with the others after the warm-up."""
        after = range(self.warmup, len(iteration_ms))
        sampled = median(iteration_ms[i] for i in after if i in self._sampled)
        others = [iteration_ms[i] for i in after if i not in self._sampled]
        compiled = f'the compiled ones {median(others):.1f} ms' if others else 'there were no compiled ones'
        return f'sampled iterations, which run uncompiled, took {sampled:.1f} ms, {compiled} (medians)'


def flops_hook(runner: Runner) -> FlopsHook | None:
    """Return the hook that counts the network, if there is one."""
    return next((hook for hook in runner.hooks if isinstance(hook, FlopsHook)), None)


def with_recomputed(costs: dict[str, CountedCost], macs: dict[str, int]) -> dict[str, CountedCost]:
    """Return counts by stage with what is recomputed."""
    return {
        name: msgspec.structs.replace(cost, recomputed_gmacs=macs.get(name, 0) / 1e9) for name, cost in costs.items()
    }


def products_in(dtype: torch.dtype) -> str:
    """Return the precision of matrix products of a type: float32 ones may use tensor cores."""
    name = str(dtype).removeprefix('torch.')
    return 'tf32' if name == 'float32' and torch.backends.cuda.matmul.allow_tf32 else name


def stages_of(model: torch.nn.Module, named: NamedStages) -> tuple[str, ...]:
    """Return every stage of an iteration in the order they run, as far as it is known."""
    own = model.cost_stages() if hasattr(model, 'cost_stages') else ()
    return ('data', *named.names, *own, 'optimizer', 'communication', 'other')
