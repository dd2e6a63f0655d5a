"""The results of a test: summarised from the scores of its frames, and written to files."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from vrtspike.analysis.readers.reading import read_logs
from vrtspike.errors import LogError
from vrtspike.inference.loading import file_sha256
from vrtspike.metrics.scores import mean_scores
from vrtspike.models.tiling import Tiling
from vrtspike.profiling.parameters import count_parameters
from vrtspike.records.evaluation import (
    EvaluationResults,
    FrameGain,
    RestoringCost,
    Row,
    SequenceScores,
    StageMedians,
    ThresholdScore,
    at_first_threshold,
)
from vrtspike.records.stage_costs import FILE_NAME, PHASE_KEYS
from vrtspike.runtime.atomic_write import atomic_write, write_text
from vrtspike.runtime.environment import describe_environment

#: Number of frames with the smallest gains that are listed.
WORST_FRAMES = 10


def summarise(
    sequences: list[SequenceScores],
    model: nn.Module,
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    tiling: Tiling,
    protocol: str = 'published',
) -> EvaluationResults:
    """Return the results of a test.

    Args:
        sequences: From :func:`vrtspike.inference.evaluation.evaluate`.
        model: The network that was tested.
        config: Path of its config.
        checkpoint: Path of its weights. Results of its training are read from the files beside it.
        tiling: How sequences were divided into tiles.
        protocol: Name of the protocol of their scores.
    """
    reported = at_first_threshold(sequences)
    frames = [{'clip': each.clip, **_with_gain(row)} for each in reported for row in each.frames]
    clips = [_clip_row(each) for each in reported]
    return EvaluationResults(
        config=str(config),
        checkpoint=str(checkpoint),
        checkpoint_sha256=file_sha256(checkpoint),
        tiling=asdict(tiling),
        protocol=protocol,
        mean_of_clips=mean_scores(clips) | mean_temporal(reported),
        mean_of_frames=mean_scores(frames),
        clips=[{**row, **each.temporal} for row, each in zip(clips, reported, strict=True)],
        worst_frames=worst_frames(frames),
        thresholds=threshold_scores(sequences),
        cost=RestoringCost(
            parameters=count_parameters(model),
            restore_ms_per_frame=sum(each.seconds for each in reported) * 1e3 / len(frames),
            peak_memory_mib=max((each.peak_memory_mib or 0 for each in sequences), default=None) or None,
        ),
        training=training_report(checkpoint),
        training_stages=training_stages(checkpoint),
        **describe_environment(next(model.parameters()).device),
    )


def _with_gain(row: Row) -> Row:
    return {**row, 'gain_db': row['psnr_db'] - row['blur_psnr_db']} if 'psnr_db' in row else row


def _clip_row(sequence: SequenceScores) -> Row:
    scores = mean_scores(map(_with_gain, sequence.frames))
    return {'clip': sequence.clip, 'frames': len(sequence.frames), **scores}


def mean_temporal(sequences: list[SequenceScores]) -> dict[str, float]:
    """Return the mean of every temporal score over the sequences that have it."""
    names = dict.fromkeys(name for each in sequences for name in each.temporal)
    found = {name: [each.temporal[name] for each in sequences if name in each.temporal] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def worst_frames(frames: list[Row]) -> list[FrameGain]:
    """Return the frames with the smallest gains, the smallest first; none without targets."""
    worst = sorted((row for row in frames if 'gain_db' in row), key=lambda row: row['gain_db'])[:WORST_FRAMES]
    return [FrameGain(**{name: row[name] for name in FrameGain.__struct_fields__}) for row in worst]


def threshold_scores(sequences: list[SequenceScores]) -> list[ThresholdScore]:
    """Return the PSNR at each threshold, as a mean over clips, and its loss against the first; none without targets."""
    by_factor: dict[float, list[Row]] = {}
    for each in sequences:
        by_factor.setdefault(each.factor, []).append(mean_scores(each.frames))
    psnr = {factor: mean_scores(clips).get('psnr_db') for factor, clips in by_factor.items()}
    first = next(iter(psnr.values()))
    if first is None:
        return []
    return [ThresholdScore(factor, value, first - value) for factor, value in psnr.items()]


def training_report(checkpoint: str | os.PathLike) -> dict[str, Any] | None:
    """Return the ``report.json`` that the training left beside a checkpoint, or None."""
    path = Path(checkpoint).with_name('report.json')
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def training_stages(checkpoint: str | os.PathLike) -> list[StageMedians]:
    """Return the stage costs of a training, from the ``stage_costs.jsonl`` beside its checkpoint.

    Stages are in the order in which they run, without those that took no time. The samples of several processes are
    pooled. The list is empty if nothing was measured.
    """
    path = Path(checkpoint).with_name(FILE_NAME)
    if not path.is_file():
        return []
    try:
        log = read_logs([path])
    except LogError:  # the training was too short to sample any iteration
        return []
    table = log.costs()
    iterations_ms = table.total('iteration_ms')
    return [
        StageMedians(
            stage=name,
            **{key: table.quantiles(f'stages/{name}/{key}', [0.5])[0] for key in PHASE_KEYS},
            share=table.total(f'stages/{name}/total_ms') / iterations_ms,
        )
        for name in log.stages()
        if table.total(f'stages/{name}/total_ms') > 0
    ]


def write_results(out: Path, results: EvaluationResults, sequences: list[SequenceScores]) -> None:
    """Write ``results.json`` and ``frames.csv``, one row for each threshold and frame."""
    write_text(out / 'results.json', json.dumps(msgspec.to_builtins(results), indent=2, allow_nan=False) + '\n')
    rows = [{'threshold_factor': each.factor, 'clip': each.clip, **row} for each in sequences for row in each.frames]
    with atomic_write(out / 'frames.csv') as temporary, open(temporary, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
