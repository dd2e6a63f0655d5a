"""Draw docs/images/clip.png: a held-out demo clip of 256 x 256 pixels, restored by the network that ships.

Examples:
    python benchmarks/clip_picture.py
    python benchmarks/clip_picture.py --index 1 --out other.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import yaml

from vrtspike.cli import run_tool, tool_parser
from vrtspike.datasets import ClipDataset, ProcessedClips
from vrtspike.datasets.color import encode_light_uint8
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.sdm import sdm
from vrtspike.datasets.simulation.demo import DemoRecipe, write_clip
from vrtspike.inference.restoring import restore
from vrtspike.metrics.restoration import finite_psnr
from vrtspike.reporting.clip_strip import clip_strip

RECIPE = DemoRecipe(size=256)
MIDDLE_FRAME = RECIPE.frames // 2


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--index', type=int, default=2, help='which held-out clip (default: 2)')
    parser.add_argument('--out', type=Path, default=Path(__file__).resolve().parents[1] / 'docs/images/clip.png')
    args = parser.parse_args()
    write_image(args.out, clip_strip(panels(args.index)))
    print(f'wrote {args.out}')


def panels(index: int) -> list[tuple[str, np.ndarray]]:
    """Return captions and images (H, W, 3) of the middle frame of a held-out clip."""
    clip = held_out_clip(index)
    restored = restore(clip['blur'], clip['spikes'], threshold=RECIPE.threshold)[MIDDLE_FRAME]
    blur, sharp, spikes = (clip[kind][MIDDLE_FRAME] for kind in ('blur', 'sharp', 'spikes'))
    light = encode_light_uint8(tfp(spikes, RECIPE.threshold), 'linear')
    images = {
        'blurred': blur,
        'TFP': cv2.resize(light, sharp.shape[1::-1], interpolation=cv2.INTER_NEAREST)[..., None].repeat(3, axis=-1),
        'SDM': sdm(blur, spikes),
        'restored': restored,
    }
    scored = [(f'{name} {finite_psnr(image, sharp):.2f} dB', image) for name, image in images.items()]
    return [*scored, ('sharp', sharp)]


def held_out_clip(index: int) -> dict[str, np.ndarray]:
    """Return ``blur`` and ``sharp`` (T, H, W, 3) uint8 and ``spikes`` (T, steps, Hs, Ws) of a held-out demo clip."""
    with tempfile.TemporaryDirectory() as folder:
        write_clip(Path(folder), RECIPE, 'val', index)
        (Path(folder) / 'config.yaml').write_text(yaml.safe_dump(RECIPE.config()))
        clip = ClipDataset(ProcessedClips(folder), 'val', clip_len=RECIPE.frames)[0]
        return {**clip, 'spikes': np.asarray(clip['spikes'])}


if __name__ == '__main__':
    run_tool(main)
