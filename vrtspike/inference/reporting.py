"""The results of a test: means, tables, files."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vrtspike.analysis.readers.reading import read_logs
from vrtspike.errors import LogError
from vrtspike.inference.loading import file_sha256
from vrtspike.metrics.scores import mean_scores
from vrtspike.models.tiling import Tiling
from vrtspike.profiling.parameters import count_parameters
from vrtspike.profiling.timer import PHASES
from vrtspike.reporting.tables import table_text
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.runtime.environment import describe_environment

#: How many of the frames that gained least are listed.
WORST_FRAMES = 10
#: Columns of the printed table: heading, score, format.
COLUMNS = (
    ('blurred dB', 'blur_psnr_db', '.2f'),
    ('restored dB', 'psnr_db', '.2f'),
    ('gain dB', 'gain_db', '+.2f'),
    ('blurred SSIM', 'blur_ssim', '.4f'),
    ('restored SSIM', 'ssim', '.4f'),
    ('Y dB', 'psnr_y_db', '.2f'),
    ('Y SSIM', 'ssim_y', '.4f'),
    ('TFP dB', 'tfp_psnr_db', '.2f'),
    ('TFI dB', 'tfi_psnr_db', '.2f'),
    ('LPIPS', 'lpips', '.4f'),
)


def summarise(
    records: list[dict], model: nn.Module, config: str | os.PathLike, checkpoint: str | os.PathLike, tiling: Tiling
) -> dict[str, Any]:
    """Return the results as ``results.json`` holds them.

    ``mean_of_clips`` and ``mean_of_frames`` (the scores of :func:`~vrtspike.metrics.scores.frame_scores` and
    ``gain_db``), ``clips`` (``clip``, ``frames``, scores), ``worst_frames`` (``clip``, ``frame``, ``psnr_db``,
    ``blur_psnr_db``, ``gain_db``), ``thresholds`` (``factor``, ``psnr_db``, ``loss_db`` against the first),
    ``cost`` (``parameters``, ``restore_ms_per_frame`` with reading, ``peak_memory_mib``), ``training`` (the
    ``report.json`` beside the checkpoint, or null), ``training_stages`` (of :func:`training_stages`), ``tiling``, what
    was tested, versions, device and commit.
    """
    reported = [record for record in records if record['factor'] == records[0]['factor']]
    frames = [dict(clip=r['clip'], **with_gain(row)) for r in reported for row in r['frames']]
    clips = [
        {'clip': r['clip'], 'frames': len(r['frames']), **mean_scores(map(with_gain, r['frames']))} for r in reported
    ]
    worst = sorted(frames, key=lambda row: row['gain_db'])[:WORST_FRAMES]
    device = next(model.parameters()).device
    return dict(
        config=str(config),
        checkpoint=str(checkpoint),
        checkpoint_sha256=file_sha256(checkpoint),
        tiling=asdict(tiling),
        mean_of_clips=mean_scores(clips),
        mean_of_frames=mean_scores(frames),
        clips=clips,
        worst_frames=[
            {name: row[name] for name in ('clip', 'frame', 'psnr_db', 'blur_psnr_db', 'gain_db')} for row in worst
        ],
        thresholds=threshold_scores(records),
        cost=dict(
            parameters=count_parameters(model),
            restore_ms_per_frame=sum(r['seconds'] for r in reported) * 1e3 / len(frames),
            peak_memory_mib=max((r['peak_memory_mib'] or 0 for r in records), default=None) or None,
        ),
        training=training_report(checkpoint),
        training_stages=training_stages(checkpoint),
        **describe_environment(torch.device(device)),
    )


def with_gain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a frame's row with what it gained over the blurred input."""
    return {**row, 'gain_db': row['psnr_db'] - row['blur_psnr_db']}


def threshold_scores(records: list[dict]) -> list[dict[str, float]]:
    """Return per factor of the threshold the PSNR, the mean over clips, and what is lost against the first factor."""
    by_factor: dict[float, list[dict]] = {}
    for record in records:
        by_factor.setdefault(record['factor'], []).append(mean_scores(record['frames']))
    psnr = {factor: mean_scores(clips)['psnr_db'] for factor, clips in by_factor.items()}
    first = next(iter(psnr.values()))
    return [{'factor': factor, 'psnr_db': value, 'loss_db': first - value} for factor, value in psnr.items()]


def training_report(checkpoint: str | os.PathLike) -> dict | None:
    """Return the ``report.json`` that the training left beside a checkpoint, or None."""
    path = Path(checkpoint).with_name('report.json')
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def training_stages(checkpoint: str | os.PathLike) -> list[dict[str, Any]]:
    """Return what the stages cost in the training that left ``stage_costs.jsonl`` beside a checkpoint.

    Per stage that took time, in the order they run: ``stage``, the medians ``forward_ms``, ``recompute_ms`` and
    ``backward_ms`` of an iteration (0 where there is none), ``share`` of the iteration; several processes are pooled.
    Empty where nothing was measured.
    """
    path = Path(checkpoint).with_name('stage_costs.jsonl')
    if not path.is_file():
        return []
    try:
        log = read_logs([path])
    except LogError:  # too short a training to sample any iteration
        return []
    table = log.costs()
    whole = table.total('iteration_ms')
    return [
        {
            'stage': name,
            **{f'{phase}_ms': table.quantiles(f'stages/{name}/{phase}_ms', [0.5])[0] for phase in PHASES},
            'share': table.total(f'stages/{name}/total_ms') / whole,
        }
        for name in log.stages()
        if table.total(f'stages/{name}/total_ms') > 0
    ]


def write_results(out: Path, results: dict[str, Any], records: list[dict]) -> None:
    """Write ``results.json`` and ``frames.csv``, one row per threshold and frame."""
    with written_aside(out / 'results.json') as aside:
        aside.write_text(json.dumps(results, indent=2, allow_nan=False) + '\n', encoding='utf-8')
    rows = [{'threshold_factor': r['factor'], 'clip': r['clip'], **row} for r in records for row in r['frames']]
    with written_aside(out / 'frames.csv') as aside, open(aside, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def results_text(results: dict[str, Any], max_clips: int = 40) -> str:
    """Return the results as they are printed: the table of clips, both means, worst frames, thresholds."""
    columns = [column for column in COLUMNS if column[1] in results['mean_of_clips']]
    rows = [[row['clip'], *cells(row, columns)] for row in results['clips'][:max_clips]]
    if len(results['clips']) > max_clips:
        rows.append([f'and {len(results["clips"]) - max_clips} more', *[''] * len(columns)])
    rows.append(['mean over frames', *cells(results['mean_of_frames'], columns)])
    footer = ['mean of clip means', *cells(results['mean_of_clips'], columns)]
    parts = [table_text('Held-out clips', ['clip', *(heading for heading, *_ in columns)], rows, footer)]
    worst = [
        [
            f'{row["clip"]}/{row["frame"]}',
            f'{row["blur_psnr_db"]:.2f}',
            f'{row["psnr_db"]:.2f}',
            f'{row["gain_db"]:+.2f}',
        ]
        for row in results['worst_frames'][:5]
    ]
    parts.append(table_text('Frames that gained least', ['frame', 'blurred dB', 'restored dB', 'gain dB'], worst))
    if len(results['thresholds']) > 1:
        lines = [[f'{t["factor"]:g}', f'{t["psnr_db"]:.2f}', f'{t["loss_db"]:+.2f}'] for t in results['thresholds']]
        parts.append(table_text('Threshold of the spike camera', ['times', 'restored dB', 'loss dB'], lines))
    return '\n\n'.join(parts)


def cells(row: dict[str, float], columns: list[tuple[str, str, str]]) -> list[str | None]:
    """Return a row's scores as text; None where it lacks one."""
    return [f'{row[name]:{spec}}' if name in row else None for _, name, spec in columns]
