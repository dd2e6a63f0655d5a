"""Convert weights between the published layout and ours.

Published files contain the weights of a backbone under params. Our checkpoints contain a whole restorer, with its spike
side, under state_dict. The new file is read, converted back and compared before it gets its final name.
Training does not need this: tools/train.py --load-from reads both layouts.

Examples:
    python tools/convert_weights.py 006_VRT_videodeblurring_GoPro.pth --to ours --out gopro.pth
    python tools/convert_weights.py work_dirs/006/iter_300000.pth --to published --out published.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vrtspike.cli import add_trust_argument, run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('checkpoint', type=Path, help='file to convert')
    parser.add_argument('--to', choices=['ours', 'published'], required=True, help='layout to write')
    parser.add_argument('--out', type=Path, required=True, help='file to write')
    add_trust_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.models.published_layout import convert_file

    written, left_out = convert_file(args.checkpoint, args.out, args.to, args.trust_checkpoint)
    others = f'; {left_out} tensors of other parts were left out' if left_out else ''
    print(f'wrote {args.out}: {written} tensors, each equal to its original after conversion back{others}')


if __name__ == '__main__':
    run_tool(main)
