"""Where a training starts: from scratch, from a checkpoint that it resumes, or from the weights of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import nn

from vrtspike.engine.resuming import check_resumable
from vrtspike.engine.run_folder import AUTO, LATEST, newest_whole_checkpoint
from vrtspike.errors import CheckpointError
from vrtspike.models.weights import LoadReport, load_matching, read_weights
from vrtspike.reporting.table import Table
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.checkpoint_files import load_checkpoint_file
from vrtspike.runtime.distributed import unwrap_model

LOADED_NAMES = 'loaded_weights.json'
"""File of the run's folder: ``loaded``, ``adapted``, ``merged``, ``fresh`` and ``unused``, each a list of names."""

LoadedWeights = dict[str, dict[str, torch.Tensor]]
"""Weights that were read before training, by path. They are removed when they are used, to free their memory."""


def set_start(
    config: Config, resume: str | None, load_from: str | None, trust: bool, new_schedule: bool = False
) -> LoadedWeights:
    """Set ``load_from`` and ``resume`` of the config, after a check that the training can start there.

    Returns:
        The weights of ``load_from``, so that they are read only once.
    """
    config.resume = False
    if load_from:
        config.load_from = str(load_from)
        return {config.load_from: read_weights(load_from, trust)}
    found = find_checkpoint(config, resume, trust) if resume else None
    if found:
        path, checkpoint = found
        check_resumable(path, checkpoint, config, new_schedule)
        config.load_from, config.resume = str(path), True
    return {}


def find_checkpoint(config: Config, resume: str, trust: bool) -> tuple[Path, dict[str, Any]] | None:
    """Return the checkpoint to resume and its contents, or None if there is none yet and ``resume`` is :data:`AUTO`.

    Args:
        config: The run's; ``work_dir`` is set.
        resume: A file, a run folder, :data:`LATEST` or :data:`AUTO`.
        trust: Unpickle checkpoints that contain code.

    Raises:
        CheckpointError: There is no such checkpoint.
    """
    folder = Path(config.work_dir if resume in (LATEST, AUTO) else resume).expanduser()
    if resume not in (LATEST, AUTO) and not folder.is_dir():
        return folder, load_checkpoint_file(folder, trust=trust)
    found = newest_whole_checkpoint(folder, config, trust)
    if found is None and resume != AUTO:
        best = next(folder.glob('best_*.pth'), None)
        advice = (
            f'start from the weights of {best} with --load-from and another --work-dir'
            if best
            else 'start without --resume'
        )
        raise CheckpointError(f'there is no checkpoint in {folder} to resume: {advice}, or name one')
    return found


def start_from_weights(runner: Runner, path: str, trust: bool, loaded: LoadedWeights) -> None:
    """Load the weights of a checkpoint that fit the runner's network. Log a report and write it to the run's folder.

    MMEngine would load the checkpoint again, by name and shape alone; ``_has_loaded`` prevents that.
    """
    model = unwrap_model(runner.model)
    initialise_now(model)
    weights = loaded.pop(path, None) or read_weights(path, trust)
    report = load_matching(
        model, weights, partial=runner.cfg.get('partial_load', False), lora_alpha=runner.cfg.get('lora_alpha')
    )
    runner._has_loaded = True
    names_file = Path(runner.work_dir, LOADED_NAMES)
    runner.logger.info(f'Weights of {path}\n{report_table(report)}\n\nNames: {names_file}')
    if is_main_process():
        try:
            write_text(names_file, json.dumps(vars(report), indent=2))
        except OSError as error:
            runner.logger.warning(f'{names_file} cannot be written ({error.strerror}). The training continues.')


def initialise_now(model: nn.Module) -> None:
    """Initialise a network, and let MMEngine's initialisation at the start of the training do nothing.

    MMEngine calls ``init_weights`` of the network, which calls that of its backbone, after our weights are loaded.
    """
    if hasattr(model, 'init_weights'):
        model.init_weights()
        model.init_weights = _nothing


def _nothing() -> None:
    pass


def report_table(report: LoadReport) -> str:
    """Return the counts of tensors per part of the network, and their sums, as a table."""
    groups = list(vars(report))
    rows = [[part, *(counts[group] or None for group in groups)] for part, counts in report.counts().items()]
    footer = ['all', *(len(getattr(report, group)) for group in groups)]
    return Table(title='Tensors', columns=['part', *groups], rows=rows, footer=footer).text()
