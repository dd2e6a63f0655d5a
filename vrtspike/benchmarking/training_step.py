"""Measuring the training step of several configs against one another."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.benchmarking.pairs import interleaved_ms, load_average, paired_ratio, spread
from vrtspike.errors import ConfigError
from vrtspike.native.allocator import allocate_tensors_with_malloc, give_freed_memory_back, keep_freed_memory
from vrtspike.profiling.flops import count_restorer
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.profiling.sampler import StageSampler
from vrtspike.records.stage_costs import Sample
from vrtspike.records.writer import MS_DIGITS

Shape = tuple[int, int, int, int]


def compare_configs(
    configs: dict[str, Any],
    shape: Shape,
    rounds: int,
    device: torch.device,
    memory: bool = True,
    stages: bool = False,
) -> list[dict[str, Any]]:
    """Return one row per config, measured in turn; the first is what the others are compared with.

    Args:
        configs: Loaded configs by name.
        shape: Clip (B, T, H, W).
        rounds: Timed training steps of each.
        device: Where to measure.
        memory: Whether to measure the peak memory too, of one step in a process of its own.
        stages: Whether to divide every step among the stages.

    Returns:
        Rows of ``config``, ``gmacs`` (forward, one clip), ``expected_saving_share`` (of the arithmetic),
        ``step_ms`` (median and the quartiles' distance over it), ``times_ms``, ``saving_share`` (of the time, from
        the median of the rounds' ratios), ``peak_memory_mib``, ``load_average`` before and after, and what
        :func:`divided_times` gives where stages were asked for.
    """
    before = load_average()
    steps = {name: training_step(config, shape, device) for name, config in configs.items()}
    if stages:
        steps = {name: DividedStep(step) for name, step in steps.items()}
    times = interleaved_ms(steps, rounds, device)
    first, *_ = configs
    rows = []
    for name, config in configs.items():
        gmacs = count_restorer(build(config), shape[1:]).total.macs / 1e9
        baseline = rows[0]['gmacs'] if rows else gmacs
        rows.append({
            'config': name, 'gmacs': gmacs, 'expected_saving_share': 1 - gmacs / baseline,
            'step_ms': spread(times[name]), 'times_ms': times[name],
            'saving_share': 1 - 1 / paired_ratio(times[first], times[name])['median'],
            'peak_memory_mib': memory_in_new_process(config, shape, device) if memory else None,
        })  # fmt: skip
        if stages:
            rows[-1] |= divided_times(steps[name].samples[-rounds:])  # those before were for warming up
    return [row | {'load_average': [before, load_average()]} for row in rows]


def build(config: Any) -> nn.Module:
    """Return the model of a config."""
    import vrtspike.models  # noqa: F401 - registers what configs name
    from vrtspike.registry import MODELS

    return MODELS.build(config.model)


@dataclass
class TrainingStep:
    """One forward and backward pass of a model on the same clips every time; a call runs it, with fresh gradients.

    Args:
        model: The restorer, in training mode.
        inputs: What it takes.
        precision: The context it computes in.
    """

    model: nn.Module
    inputs: dict[str, Tensor]
    precision: Callable[[], Any]

    def __call__(self) -> None:
        self.model.zero_grad(set_to_none=True)
        self.accumulate()

    def accumulate(self) -> None:
        """Add the pass's gradients to those that are there."""
        with self.precision():
            loss = self.model(**self.inputs, mode='loss')['loss']
        loss.backward()


def training_step(config: Any, shape: Shape, device: torch.device) -> TrainingStep:
    """Return the training step of a config's model, in its precision, on random clips that all configs share."""
    allocate_tensors_with_malloc()
    model = build(config).to(device).train()
    batch, frames, height, width = shape
    generator = torch.Generator().manual_seed(0)
    blur, sharp = (torch.rand(batch, frames, 3, height, width, generator=generator).to(device) for _ in range(2))
    inputs = {'blur': blur, 'sharp': sharp}
    if model.uses_spikes:
        bins = model.spike_encoder.bins
        spikes = torch.rand(batch, frames, bins, height // 2, width // 2, generator=generator)
        inputs['spikes'] = spikes.to(device)
    return TrainingStep(model, inputs, precision_of(config, device))


class DividedStep:
    """A training step that also keeps what its stages cost, call by call.

    Args:
        step: What a call runs.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self.sampler = StageSampler(step.model)
        self.samples: list[Sample] = []

    def __call__(self) -> None:
        self.sampler.start()
        self.sampler.batch_arrived()
        self.step()
        self.sampler.backward_over()
        self.sampler.optimizer_over()
        self.sampler.stop(iteration=len(self.samples) + 1, clips=1, frames=1)
        self.samples += self.sampler.wait()


def divided_times(samples: list[Sample]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return ``stages`` and ``parts`` (over all stages): by name ``forward_ms`` and ``total_ms``, one per sample."""
    stages = [sample.stages() for sample in samples]
    parts = [sample.parts() for sample in samples]
    return {
        'stages': {name: _forward_and_total(stages, {name}) for name in _names(stages)},
        'parts': {
            part: _forward_and_total(parts, {name for name in _names(parts) if name.endswith(f'/{part}')})
            for part in dict.fromkeys(name.partition('/')[2] for name in _names(parts))
        },
    }


def _names(divisions: list[dict[str, dict[str, float]]]) -> dict[str, None]:
    return dict.fromkeys(name for division in divisions for name in division)


def _forward_and_total(divisions: list[dict[str, dict[str, float]]], names: set[str]) -> dict[str, list[float]]:
    chosen = [[phases for name, phases in division.items() if name in names] for division in divisions]
    return {
        'forward_ms': [round(sum(phases.get('forward', 0.0) for phases in each), MS_DIGITS) for each in chosen],
        'total_ms': [round(sum(sum(phases.values()) for phases in each), MS_DIGITS) for each in chosen],
    }


def precision_of(config: Any, device: torch.device) -> Callable[[], Any]:
    """Return the context that a config's optimizer wrapper computes in."""
    from vrtspike.optim.amp import resolve_dtype

    wrapper = config.get('optim_wrapper') or {}
    if 'Amp' not in wrapper.get('type', ''):
        return contextlib.nullcontext
    dtype = resolve_dtype(wrapper.get('dtype', 'auto'), device)
    return lambda: torch.autocast(device.type, dtype=dtype)


def make_room() -> None:
    """Give freed memory, the host's and the GPU's, to a process that may need as much as this one has used."""
    gc.collect()
    torch.cuda.empty_cache()
    give_freed_memory_back()


def memory_in_new_process(config: Any, shape: Shape, device: torch.device, batches: int = 1) -> float | None:
    """Return the peak memory of one training step in MiB: resident on a CPU, allocated on a GPU.

    Args:
        config: A loaded config.
        shape: Of a batch (B, T, H, W).
        device: Where to measure.
        batches: How many the step accumulates the gradients of.

    Raises:
        ConfigError: The process was ended from outside, as where memory does not suffice.
    """
    make_room()
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        try:
            return pool.submit(step_memory, config, shape, str(device), batches).result()
        except BrokenProcessPool as error:
            raise ConfigError(
                f'a training step of {shape} clips did not come to an end, probably for want of memory; use a '
                'smaller --shape'
            ) from error


def step_memory(config: Any, shape: Shape, device: str, batches: int = 1) -> float | None:
    """Return this process's peak memory after one training step, in a process that treats memory as tools do."""
    keep_freed_memory()
    step = training_step(config, shape, torch.device(device))
    step()
    for _ in range(1, batches):
        step.accumulate()
    return peak_memory_mib()
