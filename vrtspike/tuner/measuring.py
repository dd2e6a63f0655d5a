"""Measures a changed config against the default: rounds in turn in one process, memory in processes of their own."""

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

import torch

from vrtspike.benchmarking.loader_step import interleaved_loader_ms, loader_step
from vrtspike.benchmarking.pairs import interleaved_ms, load_average, spread
from vrtspike.benchmarking.peak_memory import memory_in_new_process, release_freed_memory
from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.benchmarking.training_step import Shape, build, training_step
from vrtspike.config import load_config
from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.models.tiling import with_precision
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.runtime.environment import describe_environment
from vrtspike.tuner.candidates import Overrides, reads_data, value_at
from vrtspike.tuner.output_config import write_child
from vrtspike.tuner.search import Trial

ROUNDS = 5


class Measurer:
    """Measures overrides of one config; every trial is kept as a file and not measured again unless it failed.

    Args:
        path: The config.
        load: From overrides to a loaded config.
        shape: Clips, frames, height and width.
        device: Where to measure.
        objective: 'train' times forward and backward passes, 'infer' restoring.
        folder: Of the trials: ``<name>.json``, and ``<name>.py``, the config that was measured.
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

    def __call__(self, name: str, overrides: Overrides) -> Trial:
        """Return the trial of some overrides against the default."""
        return self._kept(name, overrides, lambda: self._measured(name, overrides))

    def default_memory(self) -> float | None:
        """Return the peak memory of one call of the default in MiB."""
        return self._kept('default', {}, lambda: {'peak_memory_mib': self.memory(self.default)})['peak_memory_mib']

    def _kept(self, name: str, overrides: Overrides, measured: Callable[[], dict[str, Any]]) -> Trial:
        key = {'overrides': overrides, 'shape': list(self.shape), 'objective': self.objective, 'rounds': self.rounds,
               'base': self.base}  # fmt: skip
        key = json.loads(json.dumps(key))  # as it was kept, where a tuple is a list
        file = self.folder / f'{name}.json'
        kept = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
        if 'failure' not in kept and all(kept.get(item) == value for item, value in key.items()):
            return kept
        trial = {'name': name, **key, **measured(), **describe_environment(self.device)}
        with written_aside(file) as aside:
            aside.write_text(json.dumps(trial, indent=2) + '\n', encoding='utf-8')
        return trial

    def _measured(self, name: str, overrides: Overrides) -> dict[str, Any]:
        forget_compiled()
        try:
            config = self.load(overrides)
            write_child(self.folder / f'{name}.py', self.path, overrides, {}, f'Trial {name}.')
            before = load_average()
            times = self._times({'default': self.default, 'changed': config}, reads_data(overrides))
            gmacs = [count_restorer(build(each), self.shape[1:]).total.macs / 1e9 for each in (self.default, config)]
            memory = self.memory(config)
        except VrtSpikeError as error:
            return {'failure': first_line(error)}
        except Exception as error:  # of a backend, of torch or of a part of the user's own; the report names it
            return {'failure': f'{type(error).__name__}: {first_line(error)}'}
        savings = [1 - b / a for a, b in zip(times['default'], times['changed'], strict=True)]
        return {
            'saving': statistics.median(savings), 'interval': [min(savings), max(savings)],
            'ms_per_sample': spread(times['changed'])['median'] / self.shape[0],
            'default_ms_per_sample': spread(times['default'])['median'] / self.shape[0],
            'times_ms': times, 'gmacs': gmacs[1], 'predicted_saving': 1 - gmacs[1] / gmacs[0],
            'peak_memory_mib': memory, 'load_average': [before, load_average()],
        }  # fmt: skip

    def memory(self, config: Any) -> float | None:
        """Return the peak memory of one call in MiB, measured in a process of its own."""
        if self.objective == 'train':
            return memory_in_new_process(config, self.shape, self.device)
        release_freed_memory()
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            try:
                return pool.submit(restoring_memory, config, self.shape, str(self.device)).result()
            except BrokenProcessPool as error:
                raise ConfigError(
                    f'restoring {self.shape} did not come to an end, probably for want of memory'
                ) from error

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
    """Return the first line that an error says, which may be none."""
    return next(iter(str(error).strip().splitlines()), '')


def forget_compiled() -> None:
    """Let what ``torch.compile`` has made for other trials not count towards the limit of what it makes for one."""
    if 'torch._dynamo' in sys.modules:  # importing it takes seconds
        torch.compiler.reset()


def shape_of(config: Any) -> Shape:
    """Return clips, frames, height and width of the batches that a config trains on.

    Raises:
        ConfigError: It trains on nothing, or on whole frames, whose size it does not tell.
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


def loader_of(path: str, common: Overrides, plugins: list[str], cpu: bool) -> Callable[[Overrides], Any]:
    """Return what loads a config with ``common`` overrides and further ones."""
    return lambda overrides: load_config(path, overrides={**common, **overrides}, plugins=plugins, cpu_overrides=cpu)
