"""Scores a checkpoint on held-out sequences by the published protocol.

Whole sequences are restored, and their frames are scored as 8-bit RGB images without a border. Papers use one of two
means, and both are reported: the mean of the means of the sequences, and the mean over all frames. A test can be
resumed and can use several processes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from torch import nn

from vrtspike.errors import DataError
from vrtspike.inference.loading import file_sha256
from vrtspike.inference.outputs import record_inputs
from vrtspike.inference.restoring import fit_tiling, restored_frames
from vrtspike.inference.sequences import Sequences, Window, held_out_sequences
from vrtspike.metrics.no_reference import NO_REFERENCE, NoReference
from vrtspike.metrics.protocols import PROTOCOLS
from vrtspike.metrics.restoration import file_stem
from vrtspike.metrics.scores import Perceptual, frame_scores
from vrtspike.metrics.temporal import TemporalConsistency
from vrtspike.models.tiling import Tiling
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.records.evaluation import SequenceScores
from vrtspike.runtime.atomic_write import write_png, write_text
from vrtspike.runtime.distributed import broadcast
from vrtspike.runtime.progress import step_progress

#: Number of sequences on the page, and number of frames that it shows of each.
PAGE_CLIPS, PAGE_FRAMES = 8, 5
INPUTS_FILE = 'test.json'
#: Names of the frames of a clip on the page.
SHOWN_AS = {'blur': 'blurred'}


@dataclass(frozen=True)
class TestSettings:
    """Options of a test.

    Args:
        tiling: How sequences are divided into tiles.
        thresholds: Factors of the spike threshold at which the network is scored. The first one is reported.
        save_images: Whether to write every restored frame.
        lpips: A perceptual distance to score as well.
        protocol: Name of the protocol, one of :data:`~vrtspike.metrics.protocols.PROTOCOLS`.
        no_reference: Scores without a target, see :func:`~vrtspike.metrics.no_reference.load_no_reference`. With one,
            sequences need no sharp frames; if a sequence has none, nothing is scored against targets.
    """

    tiling: Tiling
    thresholds: tuple[float, ...] = (1.0,)
    save_images: bool = False
    lpips: Perceptual | None = None
    protocol: str = 'published'
    no_reference: dict[str, NoReference] = field(default_factory=dict)

    __test__ = False  # pytest would collect it because of its name


class TestInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that the results of a test depend on, as ``test.json`` records it."""

    checkpoint_sha256: str
    model: dict[str, Any]
    dataset: dict[str, Any]
    tiling: Tiling
    thresholds: tuple[float, ...]
    save_images: bool
    lpips: bool
    protocol: str
    piqe: bool
    niqe: bool = False
    brisque: bool = False

    __test__ = False


class Task(NamedTuple):
    """One sequence to score at one threshold."""

    clips: Sequences
    factor: float
    number: int

    @property
    def name(self) -> str:
        """The name of the sequence."""
        return self.clips.sequences[self.number].name

    def record_path(self, out: Path) -> Path:
        """Return the file of the scores in the folder of a test."""
        return out / 'records' / f'threshold_{self.factor:g}' / f'{file_stem(self.name)}.json'


def evaluate(
    model: nn.Module, config: Config, checkpoint: str | os.PathLike, out: str | os.PathLike, settings: TestSettings
) -> list[SequenceScores]:
    """Score the sequences that have no scores yet. Return all scores in order, one entry per threshold and sequence.

    Several processes share the sequences. All of them must see the folder ``out``.

    Args:
        model: The restorer of ``checkpoint``.
        config: Its config, which names the sequences.
        checkpoint: Path of the weights.
        out: Folder of the results.
        settings: Options of the test.

    Raises:
        DataError: The folder contains the results of another test, or sharp frames are missing.
    """
    out = Path(out)
    tasks: list[Task] = []
    for factor in settings.thresholds:
        clips = held_out_sequences(config, factor)
        if not settings.no_reference and (name := clips.without_target()) is not None:
            raise DataError(
                f'sequence {name} has no sharp frames to score against: restore it with restore.py, or score it by '
                'PIQE, NIQE or BRISQUE (--piqe, --niqe, --brisque)'
            )
        tasks += [Task(clips, factor, number) for number in range(len(clips.sequences))]
    try:
        if is_main_process():
            record_inputs(out, inputs_of_test(config, checkpoint, settings), INPUTS_FILE)
    finally:  # the other processes wait here, even if this one failed
        barrier()
    with step_progress(disable=not is_main_process()) as bar:
        for task in bar.track(tasks[get_rank() :: get_world_size()], description='Testing'):
            path = task.record_path(out)
            if not path.is_file():
                scores = score_sequence(model, task, out, settings)
                write_text(path, json.dumps(msgspec.to_builtins(scores)) + '\n')
    barrier()
    return [msgspec.json.decode(task.record_path(out).read_bytes(), type=SequenceScores) for task in tasks]


def inputs_of_test(config: Config, checkpoint: str | os.PathLike, settings: TestSettings) -> TestInputs:
    """Return what the results of a test depend on."""
    return TestInputs(
        checkpoint_sha256=file_sha256(checkpoint),
        model=config.model.to_dict(),
        dataset=(config.get('test_dataloader') or config.val_dataloader).dataset.to_dict(),
        tiling=settings.tiling,
        thresholds=settings.thresholds,
        save_images=settings.save_images,
        lpips=settings.lpips is not None,
        protocol=settings.protocol,
        **{name: name in settings.no_reference for name in NO_REFERENCE},
    )


def score_sequence(model: nn.Module, task: Task, out: Path, settings: TestSettings) -> SequenceScores:
    """Restore and score one sequence, and write the images that the settings and the page need."""
    stems = task.clips.sequences[task.number].stems.tolist()
    reported = task.factor == settings.thresholds[0]
    on_page = page_frames(len(stems)) if reported and task.number < PAGE_CLIPS else ()
    kinds = ('blur',) if task.clips.without_target() else ('blur', 'sharp')
    protocol = PROTOCOLS[settings.protocol]
    rows, seconds, start = [], 0.0, time.perf_counter()
    temporal = TemporalConsistency()
    windows = restored_frames(
        model, lambda *span: task.clips.window(task.number, *span).batch, len(stems), settings.tiling
    )
    for restored in windows:
        seconds += time.perf_counter() - start
        window = task.clips.window(task.number, len(rows), len(rows) + len(restored))
        for frame in scored_frames(restored, window, kinds):
            stem = stems[len(rows)]
            if len(rows) in on_page:
                write_pictures(out / 'pictures' / file_stem(task.name), stem, frame.images | frame.playbacks)
            if settings.save_images and reported:
                write_png(out / 'images' / file_stem(task.name) / f'{stem}.png', frame.images['restored'])
            images = (frame.images.get(kind) for kind in ('restored', 'blurred', 'sharp'))
            scores = frame_scores(*images, frame.playbacks, settings.lpips, protocol, settings.no_reference)
            rows.append({'frame': stem, **scores})
            if 'sharp' in kinds:
                temporal.add(frame.images['restored'], frame.images['sharp'])
        start = time.perf_counter()
    memory = peak_memory_mib(next(model.parameters()).device)
    return SequenceScores(
        factor=task.factor,
        clip=task.name,
        seconds=seconds,
        peak_memory_mib=memory,
        frames=rows,
        temporal=temporal.scores(),
    )


class ScoredFrame(NamedTuple):
    """The images of one frame: ``restored``, ``blurred`` and maybe ``sharp``, and the reconstructions from spikes."""

    images: dict[str, np.ndarray]
    playbacks: dict[str, np.ndarray]


def scored_frames(restored: np.ndarray, window: Window, kinds: tuple[str, ...]) -> Iterator[ScoredFrame]:
    """Yield the images of each restored frame of a window, with its frames of ``kinds``."""
    images = {'restored': restored} | {SHOWN_AS.get(kind, kind): window.frames(kind) for kind in kinds}
    playbacks = window.playbacks()
    for i in range(len(restored)):
        yield ScoredFrame(*({name: frames[i] for name, frames in each.items()} for each in (images, playbacks)))


def page_frames(length: int) -> list[int]:
    """Return the indices of the frames that the page shows, evenly spread over a sequence."""
    return sorted(set(np.linspace(0, length - 1, min(PAGE_FRAMES, length)).round().astype(int).tolist()))


def write_pictures(folder: Path, stem: str, pictures: dict[str, np.ndarray]) -> None:
    """Write the images of one frame for the page, as ``<frame>.<kind>.png``."""
    for kind, image in pictures.items():
        write_png(folder / f'{stem}.{kind}.png', image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def agreed_tiling(model: nn.Module, config: Config, tiling: Tiling) -> Tiling:
    """Return ``tiling`` with the largest tile that fits into memory.

    The main process measures it on the first sequence, and all processes use it.
    """
    try:
        if is_main_process():
            clips = held_out_sequences(config)
            length = len(clips.sequences[0].stems)
            tiling = fit_tiling(model, lambda *span: clips.window(0, *span).batch, tiling, length)
    finally:  # the other processes wait here, even if this one failed
        tiling = broadcast(tiling)
    return tiling
