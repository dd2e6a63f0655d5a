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

from vrtspike.cli import run_tool, tool_parser
from vrtspike.datasets import ClipDataset, DemoClips
from vrtspike.datasets.color import encode_light_uint8
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.sdm import sdm
from vrtspike.inference.restoring import restore
from vrtspike.metrics.restoration import finite_psnr
from vrtspike.reporting.clip_strip import clip_strip

PICTURE = Path(__file__).resolve().parents[1] / 'docs/images/clip.png'
SIZE, FRAMES = 256, 5
MIDDLE_FRAME = FRAMES // 2


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--index', type=int, default=2, help='which held-out clip (default: 2)')
    parser.add_argument('--out', type=Path, default=PICTURE, help='file to write (default: the picture of the README)')
    args = parser.parse_args()
    write_image(args.out, clip_strip(panels(args.index)))
    print(f'wrote {args.out}')


def panels(index: int) -> list[tuple[str, np.ndarray]]:
    """Return captions and images (H, W, 3) of the middle frame of a held-out clip."""
    clip = held_out_clip(index)
    restored = restore(clip['blur'], clip['spikes'])[MIDDLE_FRAME]
    blur, sharp, spikes = (clip[kind][MIDDLE_FRAME] for kind in ('blur', 'sharp', 'spikes'))
    light = encode_light_uint8(tfp(spikes, 1.0), 'linear')
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
        clips = DemoClips(f'{folder}/demo', size=SIZE, train_clips=0, val_clips=index + 1)
        clip = ClipDataset(clips, 'val', clip_len=FRAMES, stride=FRAMES)[index]
        return {**clip, 'spikes': np.asarray(clip['spikes'])}


if __name__ == '__main__':
    run_tool(main)
