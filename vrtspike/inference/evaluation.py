"""Scores a checkpoint on held-out sequences by the published protocol, resumably and on several processes.

Whole sequences are restored; their frames are scored as 8-bit RGB images without a border. Both means in use are
reported: over sequences of each one's mean, and over all frames.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from torch import nn

from vrtspike.inference.loading import file_sha256
from vrtspike.inference.outputs import claim_folder
from vrtspike.inference.restoring import fit_tiling, restored_frames
from vrtspike.inference.sequences import Sequences, held_out_sequences
from vrtspike.metrics.restoration import file_stem
from vrtspike.metrics.scores import Perceptual, frame_scores
from vrtspike.models.tiling import Tiling
from vrtspike.profiling.memory import peak_memory_mib
from vrtspike.records.evaluation import SequenceScores
from vrtspike.runtime.atomic_write import write_png, written_aside
from vrtspike.runtime.distributed import broadcast

#: Of how many sequences, and of how many frames of each, the page shows pictures.
PAGE_CLIPS, PAGE_FRAMES = 8, 5
NOTE = 'test.json'


@dataclass(frozen=True)
class TestSettings:
    """What a test does beside scoring.

    Args:
        tiling: How sequences are cut.
        thresholds: Factors of the spike threshold at which the network is scored; the first is the one reported.
        save_images: Whether to write every restored frame.
        lpips: A perceptual distance to score too.
    """

    tiling: Tiling
    thresholds: tuple[float, ...] = (1.0,)
    save_images: bool = False
    lpips: Perceptual | None = None

    __test__ = False  # no test case, whatever pytest makes of the name


def evaluate(
    model: nn.Module, config: Config, checkpoint: str | os.PathLike, out: str | os.PathLike, settings: TestSettings
) -> list[SequenceScores]:
    """Score what is not scored yet and return all scores, one entry for each threshold and sequence, in order.

    With several processes each scores its share; the records lie in ``out``, which all of them must see.

    Args:
        model: The restorer of ``checkpoint``.
        config: Its config, which names the sequences.
        out: A folder; one that holds another test is refused.
    """
    out = Path(out)
    tasks: list[tuple[Sequences, float, int]] = []
    for factor in settings.thresholds:
        clips = held_out_sequences(config, factor)
        tasks += [(clips, factor, number) for number in range(len(clips.sequences))]
    try:
        if is_main_process():
            claim_folder(out, note_of(config, checkpoint, settings), NOTE)
    finally:  # others must not wait for a process that failed
        barrier()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not is_main_process()) as bar:
        for clips, factor, number in bar.track(tasks[get_rank() :: get_world_size()], description='Testing'):
            path = record_path(out, factor, clips.sequences[number].name)
            if not path.is_file():
                record = score_sequence(model, clips, number, factor, out, settings)
                with written_aside(path) as aside:
                    aside.write_text(json.dumps(msgspec.to_builtins(record)) + '\n', encoding='utf-8')
    barrier()
    paths = [record_path(out, factor, clips.sequences[number].name) for clips, factor, number in tasks]
    return [msgspec.json.decode(path.read_bytes(), type=SequenceScores) for path in paths]


def note_of(config: Config, checkpoint: str | os.PathLike, settings: TestSettings) -> dict[str, Any]:
    """Return what a test's numbers depend on."""
    return dict(
        checkpoint_sha256=file_sha256(checkpoint),
        model=config.model.to_dict(),
        dataset=(config.get('test_dataloader') or config.val_dataloader).dataset.to_dict(),
        tiling=asdict(settings.tiling),
        thresholds=list(settings.thresholds),
        save_images=settings.save_images,
        lpips=settings.lpips is not None,
    )


def record_path(out: Path, factor: float, clip: str) -> Path:
    """Return the file that holds the scores of one sequence at one threshold."""
    return out / 'records' / f'threshold_{factor:g}' / f'{file_stem(clip)}.json'


def score_sequence(
    model: nn.Module, clips: Sequences, number: int, factor: float, out: Path, settings: TestSettings
) -> SequenceScores:
    """Restore and score one sequence; write its images where they are wanted."""
    sequence = clips.sequences[number]
    stems = sequence.stems.tolist()
    first_factor = factor == settings.thresholds[0]
    shown = page_frames(len(stems)) if first_factor and number < PAGE_CLIPS else ()
    rows, seconds, start = [], 0.0, time.perf_counter()
    parts = restored_frames(model, lambda *span: clips.window(number, *span).batch, len(stems), settings.tiling)
    for part in parts:
        seconds += time.perf_counter() - start
        window = clips.window(number, len(rows), len(rows) + len(part))
        images = {'restored': part, 'blurred': window.frames('blur'), 'sharp': window.frames('sharp')}
        playbacks = window.playbacks()
        for i in range(len(part)):
            stem = stems[len(rows)]
            plays = {name: frames[i] for name, frames in playbacks.items()}
            scored = (images[kind][i] for kind in ('restored', 'blurred', 'sharp'))
            if len(rows) in shown:
                pictures = {name: frames[i] for name, frames in {**images, **playbacks}.items()}
                write_pictures(out / 'pictures' / file_stem(sequence.name), stem, pictures)
            if settings.save_images and first_factor:
                write_png(out / 'images' / file_stem(sequence.name) / f'{stem}.png', part[i])
            rows.append({'frame': stem, **frame_scores(*scored, plays, settings.lpips)})
        start = time.perf_counter()
    return SequenceScores(
        factor=factor, clip=sequence.name, seconds=seconds, peak_memory_mib=peak_memory_mib(), frames=rows
    )


def page_frames(length: int) -> list[int]:
    """Return which frames of a sequence the page shows, evenly spread."""
    return sorted(set(np.linspace(0, length - 1, min(PAGE_FRAMES, length)).round().astype(int).tolist()))


def write_pictures(folder: Path, stem: str, pictures: dict[str, np.ndarray]) -> None:
    """Write what the page shows of one frame, ``<frame>.<kind>.png`` each."""
    for kind, image in pictures.items():
        write_png(folder / f'{stem}.{kind}.png', image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def fitted(model: nn.Module, config: Config, tiling: Tiling) -> Tiling:
    """Return ``tiling`` with the largest tile that the main process finds memory for, on the first sequence."""
    found = tiling
    try:
        if is_main_process():
            clips = held_out_sequences(config)
            length = len(clips.sequences[0].stems)
            found = fit_tiling(model, lambda *span: clips.window(0, *span).batch, tiling, length)
    finally:  # the others must not wait for a process that failed
        found = broadcast(found)
    return found
