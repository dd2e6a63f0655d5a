"""One self-contained HTML page of a test: a before/after slider, error maps, PSNR per frame, what it cost.

Everything is inside the file: it needs no server, no network and no library.
"""

from __future__ import annotations

import base64
import html
import json
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from vrtspike.datasets.clips import read_images
from vrtspike.metrics.psnr_ssim import psnr
from vrtspike.runtime.atomic_write import written_aside

#: Views of a frame, in the order in which the page offers them.
VIEWS = {
    'blurred': 'blurred input',
    'tfp': 'spikes played back (TFP)',
    'tfi': 'spike intervals (TFI)',
    'restored': 'restored',
    'sharp': 'sharp target',
    'error_blurred': 'error of the blurred input',
    'error_restored': 'error of the restored frame',
}
#: An error of this many grey levels, the mean over channels, is white in an error map.
ERROR_RANGE = 48
#: Images with more pixels than these are stored as JPEG of this quality.
PNG_PIXELS, JPEG_QUALITY = 256 * 256, 92
SCORE_COLUMNS = (
    ('blur_psnr_db', 'blurred dB', '.2f'), ('psnr_db', 'restored dB', '.2f'), ('gain_db', 'gain dB', '+.2f'),
    ('blur_ssim', 'blurred SSIM', '.4f'), ('ssim', 'restored SSIM', '.4f'), ('psnr_y_db', 'Y dB', '.2f'),
    ('tfp_psnr_db', 'TFP dB', '.2f'), ('tfi_psnr_db', 'TFI dB', '.2f'),
)  # fmt: skip


def write_page(path: Path, results: dict[str, Any], records: list[dict], pictures: Path) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        results: From :func:`vrtspike.inference.reporting.summarise`.
        records: Per clip ``clip`` and the scores of its ``frames``.
        pictures: Folder that holds, per clip, ``<frame>.<kind>.png`` of the frames that are shown.
    """
    reported = [record for record in records if record['factor'] == records[0]['factor']]
    clips = [clip_data(record, pictures / re.sub(r'[^\w.-]+', '_', record['clip']).strip('.')) for record in reported]
    data = {'views': VIEWS, 'clips': [clip for clip in clips if clip['frames']]}
    template = Template(files('vrtspike.reporting').joinpath('evaluation_page.html').read_text(encoding='utf-8'))
    text = template.substitute(
        title=html.escape(f'{Path(results["config"]).stem} · {Path(results["checkpoint"]).name}'),
        scores=scores_table(results),
        cost=cost_table(results),
        stages=stages_table(results),
        # No "</script>" may end the element early.
        data=json.dumps(data).replace('<', '\\u003c'),
    )
    with written_aside(path) as aside:
        aside.write_text(text, encoding='utf-8')


def clip_data(record: dict, folder: Path) -> dict[str, Any]:
    """Return what the page's script needs of a clip: PSNR of every frame, and the images of those with pictures."""
    curve = [
        {'frame': row['frame'], 'restored': row['psnr_db'], 'blurred': row['blur_psnr_db']} for row in record['frames']
    ]
    stems = [row['frame'] for row in record['frames'] if (folder / f'{row["frame"]}.restored.png').is_file()]
    return {'name': record['clip'], 'curve': curve, 'frames': [frame_data(folder, stem) for stem in stems]}


def frame_data(folder: Path, stem: str) -> dict[str, Any]:
    """Return the views of a frame as data URLs, and their PSNR."""
    kinds = [kind for kind in VIEWS if (folder / f'{stem}.{kind}.png').is_file()]
    images = dict(zip(kinds, read_images([folder / f'{stem}.{kind}.png' for kind in kinds]), strict=True))
    scores = {kind: round(min(psnr(images[kind], images['sharp']), 100.0), 2) for kind in ('blurred', 'restored')}
    for kind in ('blurred', 'restored'):
        images[f'error_{kind}'] = error_map(images[kind], images['sharp'])
    height, width = images['sharp'].shape[:2]
    urls = {kind: data_url(image) for kind, image in images.items()}
    return {'frame': stem, 'height': height, 'width': width, 'psnr': scores, 'images': urls}


def error_map(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return where two (H, W, 3) uint8 images differ, as colours from black (equal) to white (``ERROR_RANGE``)."""
    error = np.abs(image.astype(np.float32) - reference.astype(np.float32)).mean(axis=2)
    levels = np.rint(np.minimum(error / ERROR_RANGE, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_HOT), cv2.COLOR_BGR2RGB)


def data_url(image: np.ndarray) -> str:
    """Return an (H, W, 3) uint8 RGB image as a data URL; small ones without loss."""
    small = image.shape[0] * image.shape[1] <= PNG_PIXELS
    suffix, options = ('.png', []) if small else ('.jpg', [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    encoded, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert encoded
    kind = 'png' if small else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode("ascii")}'


def scores_table(results: dict[str, Any]) -> str:
    """Return the table of clips and means."""
    columns = [column for column in SCORE_COLUMNS if column[0] in results['mean_of_clips']]
    rows = [(row['clip'], row) for row in results['clips']]
    means = [('mean of clip means', results['mean_of_clips']), ('mean over frames', results['mean_of_frames'])]
    lines = [[name, *(f'{row[key]:{spec}}' for key, _, spec in columns)] for name, row in [*rows, *means]]
    return table(['clip', *(heading for _, heading, _ in columns)], lines)


def cost_table(results: dict[str, Any]) -> str:
    """Return what restoring cost, and what training cost where its report is known."""
    cost, training = results['cost'], results.get('training') or {}
    rows = [
        ('parameters', number(cost['parameters'], ',', '')),
        ('restoring', number(cost['restore_ms_per_frame'], '.0f', ' ms per frame')),
        ('peak memory of the test', number(cost['peak_memory_mib'], '.0f', ' MiB')),
        ('training', number(training.get('iterations'), ',', ' iterations')),
        ('training time', number(training.get('iteration_ms_median'), '.0f', ' ms per iteration')),
        ('peak memory of the training', number(training.get('peak_memory_mib'), '.0f', ' MiB')),
        ('device', results['device']['name']),
        ('torch', results['versions']['torch']),
        ('checkpoint SHA-256', results['checkpoint_sha256']),
    ]
    thresholds = [
        (f'PSNR at {row["factor"]:g} times the threshold', f'{row["psnr_db"]:.2f} dB ({-row["loss_db"]:+.2f})')
        for row in results['thresholds'][1:]
    ]
    return table(['', ''], [row for row in [*rows, *thresholds] if row[1] is not None])


def stages_table(results: dict[str, Any]) -> str:
    """Return what the stages cost in training, with a heading; nothing where that was not measured."""
    stages = results.get('training_stages')
    if not stages:
        return ''
    phases = [phase for phase in ('forward', 'recompute', 'backward') if any(row[f'{phase}_ms'] for row in stages)]
    rows = [
        [row['stage'], *(f'{row[f"{phase}_ms"]:.2f}' if row[f'{phase}_ms'] else '' for phase in phases),
         f'{row["share"]:.1%}']
        for row in stages
    ]  # fmt: skip
    costs = table(['stage', *(f'{phase} ms' for phase in phases), 'share'], rows)
    return f'<h2>Cost of the stages in training, medians of an iteration</h2>\n<div class="wide">{costs}</div>'


def number(value: float | None, spec: str, unit: str) -> str | None:
    """Return a number with its unit, or None where it was not measured."""
    return None if value is None else f'{value:{spec}}{unit}'


def table(headings: list[str], rows: list) -> str:
    """Return an HTML table."""
    head = ''.join(f'<th>{html.escape(heading)}</th>' for heading in headings)
    body = ''.join('<tr>' + ''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
