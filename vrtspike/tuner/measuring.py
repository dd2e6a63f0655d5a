"""Measures a changed config against the default: times interleaved in one process, memory in separate processes."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from mmengine.config import Config

from vrtspike.benchmarking.loader_step import interleaved_loader_ms, loader_step
from vrtspike.benchmarking.pairs import interleaved_ms, load_average
from vrtspike.benchmarking.peak_memory import in_new_process, memory_in_new_process
from vrtspike.benchmarking.restorer_costs import count_config
from vrtspike.benchmarking.training_step import Shape, build, training_step
from vrtspike.candidates import Overrides
from vrtspike.candidates.candidate import value_at
from vrtspike.candidates.training import changes_data_loading
from vrtspike.config import load_config
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.models.tiling import with_precision
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.environment import describe_environment
from vrtspike.tuner.output_config import write_child
from vrtspike.tuner.trials import DefaultMemory, Failed, Measured, Recorded, flat

ROUNDS = 5

Kind = TypeVar('Kind', bound=Recorded)


class Measurer:
    """Measures overrides of one config. Every measurement is recorded in a file and reused, except failures.

    Args:
        path: The config's file.
        load: Returns the config with given overrides.
        shape: Clips, frames, height and width.
        device: Where to measure.
        objective: 'train' times forward and backward passes, 'infer' restoring.
        folder: Folder of the records, ``<name>.json``, and of the measured configs, ``<name>.py``.
        rounds: Timed calls of each side.
    """

    def __init__(
        self,
        path: str,
        load: Callable[[Overrides], Config],
        shape: Shape,
        device: torch.device,
        objective: str,
        folder: Path,
        rounds: int = ROUNDS,
    ) -> None:
        self.path, self.load, self.shape, self.device = path, load, shape, device
        self.objective, self.folder, self.rounds = objective, folder, rounds
        self.default = load({})
        environment = describe_environment(device)
        measured = [self.default._cfg_dict.to_dict(), environment['device'], environment['versions']]
        self.base = hashlib.sha256(json.dumps(measured, sort_keys=True, default=str).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, overrides: Overrides) -> Measured | Failed:
        """Measure overrides against the default."""
        kept = self._kept(Measured, name, overrides)
        if kept:
            return kept
        try:
            return self._keep(self._measured(name, overrides))
        except Exception as error:  # in a backend, in torch or in a component of the user; the report shows it
            kind = '' if isinstance(error, VrtSpikeError) else f'{type(error).__name__}: '
            return self._keep(Failed(**self._provenance(name, overrides), failure=f'{kind}{first_line(error)}'))

    def default_memory(self) -> float | None:
        """Return the peak memory of one call of the default in MiB."""
        kept = self._kept(DefaultMemory, 'default', {})
        if not kept:
            memory = self.memory(self.default)
            kept = self._keep(DefaultMemory(**self._provenance('default', {}), peak_memory_mib=memory))
        return kept.peak_memory_mib

    def _conditions(self, overrides: Overrides) -> dict[str, Any]:
        """Return the fields on which a record must agree to be used again."""
        measured = {'shape': list(self.shape), 'objective': self.objective, 'rounds': self.rounds, 'base': self.base}
        return {'overrides': overrides, **measured}

    def _kept(self, kind: type[Kind], name: str, overrides: Overrides) -> Kind | None:
        """Return the record of an earlier measurement; None if there is none that can be used."""
        file = self.folder / f'{name}.json'
        record = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
        wanted = msgspec.to_builtins(self._conditions(overrides))
        agrees = 'failure' not in record and all(record.get(key) == value for key, value in wanted.items())
        return msgspec.convert(record, kind) if agrees else None

    def _provenance(self, name: str, overrides: Overrides) -> dict[str, Any]:
        """Return the fields of :class:`~vrtspike.tuner.trials.Recorded`."""
        return {'name': name, **self._conditions(overrides), **describe_environment(self.device)}

    def _keep(self, record: Kind) -> Kind:
        """Write a record and return it."""
        write_json(self.folder / f'{record.name}.json', flat(msgspec.to_builtins(record), {}))
        return record

    def _measured(self, name: str, overrides: Overrides) -> Measured:
        forget_compiled()
        config = self.load(overrides)
        write_child(self.folder / f'{name}.py', self.path, overrides, {}, f'Trial {name}.')
        before = load_average()
        times = self._times({'default': self.default, 'changed': config}, changes_data_loading(overrides))
        costs = [count_config(each.model, self.shape[1:], largest=None) for each in (self.default, config)]
        default_macs, macs = (cost.total.macs for cost in costs)
        memory = self.memory(config)
        savings = [1 - b / a for a, b in zip(times['default'], times['changed'], strict=True)]
        return Measured(
            **self._provenance(name, overrides),
            saving=statistics.median(savings),
            interval=(min(savings), max(savings)),
            ms_per_sample=statistics.median(times['changed']) / self.shape[0],
            default_ms_per_sample=statistics.median(times['default']) / self.shape[0],
            times_ms=times,
            gmacs=macs / 1e9,
            predicted_saving=1 - macs / default_macs,
            peak_memory_mib=memory,
            load_average=[before, load_average()],
        )

    def memory(self, config: Config) -> float | None:
        """Return the peak memory of one call in MiB, measured in its own process."""
        if self.objective == 'train':
            return memory_in_new_process(config, self.shape, self.device)
        arguments = (restoring_memory, config, self.shape, str(self.device))
        return in_new_process(f'restoring {self.shape} clips', *arguments)

    def _times(self, configs: dict[str, Config], with_data: bool) -> dict[str, list[float]]:
        if with_data:
            sides = {side: loader_step(config, self.shape, self.device) for side, config in configs.items()}
            return interleaved_loader_ms(sides, self.rounds)
        make = training_step if self.objective == 'train' else restoring_step
        steps = {side: make(config, self.shape, self.device) for side, config in configs.items()}
        return interleaved_ms(steps, self.rounds, self.device)


def restoring_step(config: Config, shape: Shape, device: torch.device) -> Callable[[], None]:
    """Return a function that restores random clips in the precision of the network's tiling."""
    model = build(config).to(device).eval()
    network = with_precision(model.restore, model.tiling.precision)
    batch, frames, height, width = shape
    blur, spikes = torch.rand(batch, frames, model.backbone.in_channels, height, width, device=device), None
    if model.uses_spikes:
        spikes = torch.rand(batch, frames, model.spike_bins, height // 2, width // 2, device=device)

    def step() -> None:
        with torch.inference_mode():
            network(blur, spikes)

    return step


def restoring_memory(config: Config, shape: Shape, device: str) -> float | None:
    """Return this process's peak memory after one clip."""
    where = torch.device(device)
    restoring_step(config, shape, where)()
    return peak_memory_mib(where)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which may be empty."""
    return next(iter(str(error).strip().splitlines()), '')


def forget_compiled() -> None:
    """Clear the cache of ``torch.compile``, because compilations of other trials count towards its limit."""
    if 'torch._dynamo' in sys.modules:  # importing it takes seconds
        torch.compiler.reset()


def shape_of(config: Config) -> Shape:
    """Return clips, frames, height and width of the batches that a config trains on.

    Raises:
        ConfigError: The config does not train, or it trains on whole frames of unknown size.
    """
    loader = config.get('train_dataloader')
    if not loader or not config.get('train_cfg'):
        raise ConfigError('the config does not train: it has no train_dataloader or no train_cfg')
    size = next((step['size'] for step in loader.dataset.pipeline if 'Crop' in step['type']), None)
    if size is None:
        raise ConfigError(
            'the size of the clips is not known: train_dataloader.dataset.pipeline needs a crop, such as '
            "dict(type='PairedRandomCrop', size=256)"
        )
    height, width = (size, size) if isinstance(size, int) else size
    frames = loader.dataset.get('clip_len') or value_at(config, 'data.frames') or 5  # the default of ClipDataset
    return loader.get('batch_size', 1), frames, height, width


def loader_of(path: str, shared: Overrides, plugins: list[str], cpu: bool) -> Callable[[Overrides], Config]:
    """Return a function that loads a config with the ``shared`` overrides and further ones."""
    return lambda overrides: load_config(path, overrides={**shared, **overrides}, plugins=plugins, cpu_overrides=cpu)
