"""The page of a test: a slider between two views of a frame, error maps, PSNR per frame, scores and cost.

Everything is inside one HTML file: it needs no server, no network and no library.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vrtspike.datasets.io.images import read_images
from vrtspike.metrics.restoration import file_stem, finite_psnr
from vrtspike.records.evaluation import EvaluationResults, SequenceScores, at_first_threshold
from vrtspike.reporting.evaluation_tables import cost_table, scores_table, stages_table
from vrtspike.reporting.pages import render, save_page

#: Views of a frame, in the order in which the page offers them.
VIEWS = {
    'blurred': 'blurred input',
    'tfp': 'spikes played back (TFP)',
    'tfi': 'spike intervals (TFI)',
    'sdm': 'spike-guided deblurring model (SDM)',
    'restored': 'restored',
    'sharp': 'sharp target',
    'error_blurred': 'error of the blurred input',
    'error_restored': 'error of the restored frame',
}
#: An error of this many grey levels, the mean over channels, is white in an error map.
ERROR_RANGE = 48
#: Images with more pixels than these are stored as JPEG of this quality.
PNG_PIXELS, JPEG_QUALITY = 256 * 256, 92


def write_page(path: Path, results: EvaluationResults, sequences: list[SequenceScores], pictures: Path) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        results: The results of the test.
        sequences: The scores they were made from.
        pictures: Folder with a subfolder for each clip, which holds ``<frame>.<view>.png`` of the frames to show.
    """
    clips = [clip_data(each, pictures / file_stem(each.clip)) for each in at_first_threshold(sequences)]
    html = render(
        'evaluation_page.html',
        title=f'{Path(results.config).stem} · {Path(results.checkpoint).name}',
        scores=scores_table(results),
        cost=cost_table(results),
        stages=stages_table(results),
        data={'views': VIEWS, 'clips': [clip for clip in clips if clip['frames']]},
    )
    save_page(path, html)


def clip_data(sequence: SequenceScores, folder: Path) -> dict[str, Any]:
    """Return what the page's script needs of a clip, as JSON: PSNR of every frame, images of those with pictures."""
    curve = [
        {'frame': row['frame'], 'restored': row['psnr_db'], 'blurred': row['blur_psnr_db']} for row in sequence.frames
    ]
    stems = [row['frame'] for row in sequence.frames if (folder / f'{row["frame"]}.restored.png').is_file()]
    return {'name': sequence.clip, 'curve': curve, 'frames': [frame_data(folder, stem) for stem in stems]}


def frame_data(folder: Path, stem: str) -> dict[str, Any]:
    """Return a frame for the page's script, as JSON: its views as data URLs, and their PSNR."""
    kinds = [kind for kind in VIEWS if (folder / f'{stem}.{kind}.png').is_file()]
    images = dict(zip(kinds, read_images([folder / f'{stem}.{kind}.png' for kind in kinds]), strict=True))
    scores = {kind: round(finite_psnr(images[kind], images['sharp']), 2) for kind in ('blurred', 'restored')}
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
