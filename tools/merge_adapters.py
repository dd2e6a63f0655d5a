"""Merge low-rank adapters (LoRA) with the weights that they adapt.

The new file contains plain weights, which any program reads that knows the network. Training does not need this:
tools/train.py --load-from merges adapters while it loads them.

Examples:
    python tools/merge_adapters.py work_dirs/lora_phase2/iter_6000.pth --out merged.pth
    python tools/merge_adapters.py base.pth --adapters work_dirs/lora_phase2/adapters.pth --out merged.pth
    python tools/merge_adapters.py S-VRT/10000_G.pth --lora-alpha 16 --out merged.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vrtspike.cli import add_trust_argument, run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('checkpoint', type=Path, help='file with the weights, and with the adapters unless --adapters')
    parser.add_argument('--adapters', type=Path, help='file of adapters alone')
    parser.add_argument('--lora-alpha', type=float, help='scale times rank, if the file does not contain the scale')
    parser.add_argument('--out', type=Path, required=True, help='file to write')
    add_trust_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.models.adapter_files import merge_file

    merged = merge_file(args.checkpoint, args.out, args.adapters, args.lora_alpha, args.trust_checkpoint)
    print(f'wrote {args.out}: {len(merged.weights)} tensors, {len(merged.names)} of them with an adapter merged')


if __name__ == '__main__':
    run_tool(main)
