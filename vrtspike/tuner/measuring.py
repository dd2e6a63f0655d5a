"""Measures a changed config against the default: both take turns in one process; memory needs processes of its own."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import torch

from vrtspike.benchmarking.loader_step import interleaved_loader_ms, loader_step
from vrtspike.benchmarking.pairs import interleaved_ms, load_average, spread
from vrtspike.benchmarking.peak_memory import memory_in_new_process, release_freed_memory
from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.benchmarking.training_step import Shape, build, training_step
from vrtspike.candidates import Overrides
from vrtspike.candidates.candidate import value_at
from vrtspike.candidates.data_loading import changes_data_loading
from vrtspike.config import load_config
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.models.tiling import with_precision
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.environment import describe_environment
from vrtspike.tuner.output_config import write_child
from vrtspike.tuner.trials import DefaultMemory, Failed, Measured, Recorded

ROUNDS = 5


class Measurer:
    """Measures overrides of one config. A record of each is kept as a file; only what failed is measured again.

    Args:
        path: The config.
        load: From overrides to a loaded config.
        shape: Clips, frames, height and width.
        device: Where to measure.
        objective: 'train' times forward and backward passes, 'infer' restoring.
        folder: Where the records go, ``<name>.json``, and the configs that were measured, ``<name>.py``.
        rounds: Timed calls of each side.
    """

    def __init__(
        self,
        path: str,
        load: Callable[[Overrides], Any],
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
        """Return what overrides do, measured against the default."""
        key = self._key(overrides)
        kept = self._kept(name, key)
        if kept:
            return msgspec.convert(kept, Measured)
        try:
            numbers = self._measured(name, overrides)
        except VrtSpikeError as error:
            return self._keep(Failed, name, key, {'failure': first_line(error)})
        except Exception as error:  # of a backend, of torch or of a part of the user's own; the report names it
            return self._keep(Failed, name, key, {'failure': f'{type(error).__name__}: {first_line(error)}'})
        return self._keep(Measured, name, key, numbers)

    def default_memory(self) -> float | None:
        """Return the peak memory of one call of the default in MiB."""
        key = self._key({})
        kept = self._kept('default', key)
        if kept:
            return kept['peak_memory_mib']
        return self._keep(DefaultMemory, 'default', key, {'peak_memory_mib': self.memory(self.default)}).peak_memory_mib

    def _key(self, overrides: Overrides) -> dict[str, Any]:
        """Return what a record must agree with to be used again, as JSON has it."""
        key = {'overrides': overrides, 'shape': self.shape, 'objective': self.objective, 'rounds': self.rounds}
        return json.loads(json.dumps({**key, 'base': self.base}))

    def _kept(self, name: str, key: dict[str, Any]) -> dict[str, Any] | None:
        """Return the record of an earlier measurement; None where there is none that may be used."""
        file = self.folder / f'{name}.json'
        record = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
        agrees = all(record.get(item) == value for item, value in key.items())
        return record if agrees and 'failure' not in record else None

    def _keep(self, kind: type[Recorded], name: str, key: dict[str, Any], found: dict[str, Any]) -> Any:
        """Write a record and return it."""
        record = kind(name=name, **key, **found, **describe_environment(self.device))
        write_text(self.folder / f'{name}.json', json.dumps(msgspec.to_builtins(record), indent=2) + '\n')
        return record

    def _measured(self, name: str, overrides: Overrides) -> dict[str, Any]:
        """Return the fields of :class:`~vrtspike.tuner.trials.Measured`."""
        forget_compiled()
        config = self.load(overrides)
        write_child(self.folder / f'{name}.py', self.path, overrides, {}, f'Trial {name}.')
        before = load_average()
        times = self._times({'default': self.default, 'changed': config}, changes_data_loading(overrides))
        gmacs = [count_restorer(build(each), self.shape[1:]).total.macs / 1e9 for each in (self.default, config)]
        memory = self.memory(config)
        savings = [1 - b / a for a, b in zip(times['default'], times['changed'], strict=True)]
        return {
            'saving': statistics.median(savings),
            'interval': (min(savings), max(savings)),
            'ms_per_sample': spread(times['changed'])['median'] / self.shape[0],
            'default_ms_per_sample': spread(times['default'])['median'] / self.shape[0],
            'times_ms': times,
            'gmacs': gmacs[1],
            'predicted_saving': 1 - gmacs[1] / gmacs[0],
            'peak_memory_mib': memory,
            'load_average': [before, load_average()],
        }

    def memory(self, config: Any) -> float | None:
        """Return the peak memory of one call in MiB, measured in a process of its own."""
        if self.objective == 'train':
            return memory_in_new_process(config, self.shape, self.device)
        release_freed_memory()
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            try:
                return pool.submit(restoring_memory, config, self.shape, str(self.device)).result()
            except BrokenProcessPool as error:
                raise ConfigError(f'restoring {self.shape} was killed, probably for lack of memory') from error

    def _times(self, configs: dict[str, Any], with_data: bool) -> dict[str, list[float]]:
        if with_data:
            sides = {side: loader_step(config, self.shape, self.device) for side, config in configs.items()}
            return interleaved_loader_ms(sides, self.rounds)
        make = training_step if self.objective == 'train' else restoring_step
        steps = {side: make(config, self.shape, self.device) for side, config in configs.items()}
        return interleaved_ms(steps, self.rounds, self.device)


def restoring_step(config: Any, shape: Shape, device: torch.device) -> Callable[[], None]:
    """Return a function that restores random clips in the precision that the network's tiling names."""
    model = build(config).to(device).eval()
    network = with_precision(model.restore, model.tiling.precision)
    batch, frames, height, width = shape
    blur, spikes = torch.rand(batch, frames, 3, height, width, device=device), None
    if model.uses_spikes:
        spikes = torch.rand(batch, frames, model.spike_encoder.bins, height // 2, width // 2, device=device)

    def step() -> None:
        with torch.inference_mode():
            network(blur, spikes)

    return step


def restoring_memory(config: Any, shape: Shape, device: str) -> float | None:
    """Return this process's peak memory after one clip."""
    restoring_step(config, shape, torch.device(device))()
    return peak_memory_mib()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which may be empty."""
    return next(iter(str(error).strip().splitlines()), '')


def forget_compiled() -> None:
    """Let ``torch.compile`` forget other trials, whose compilations count towards its limit of recompilations."""
    if 'torch._dynamo' in sys.modules:  # importing it takes seconds
        torch.compiler.reset()


def shape_of(config: Any) -> Shape:
    """Return clips, frames, height and width of the batches that a config trains on.

    Raises:
        ConfigError: The config does not train, or it trains on whole frames, whose size is not known.
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
    frames = loader.dataset.get('clip_len') or value_at(config, 'data.frames') or 5  # ClipDataset's own
    return loader.get('batch_size', 1), frames, height, width


def loader_of(path: str, shared: Overrides, plugins: list[str], cpu: bool) -> Callable[[Overrides], Any]:
    """Return a function that loads a config with the ``shared`` overrides and further ones."""
    return lambda overrides: load_config(path, overrides={**shared, **overrides}, plugins=plugins, cpu_overrides=cpu)
