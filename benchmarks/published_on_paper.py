"""Count what a training iteration of the published VRT would do on a GPU, as benchmarks/on_paper.py does for ours.

The network is that of the released deblurring weights, from a clone of the published code, which is neither changed nor
copied. It trains with Adam and the Charbonnier loss: in float32, as published, or as one would first speed it up, in
bfloat16 autocast with its attention computed by PyTorch's fused operator (--fused). Its deformable convolution is taken
to be our Triton kernel, which moves less than the one of torchvision: the numbers flatter the published code.

Examples:
    python benchmarks/published_on_paper.py --upstream /path/to/VRT --json published.json
    python benchmarks/published_on_paper.py --upstream /path/to/VRT --fused --json published_fused.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import add_json_argument, run_tool, tool_parser, write_result

if TYPE_CHECKING:
    from torch import Tensor

    from vrtspike.benchmarking.fake_gpu.step import PaperStep


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--upstream', type=Path, required=True, metavar='DIR', help='a clone of JingyunLiang/VRT')
    parser.add_argument('--fused', action='store_true', help='in bfloat16, with the fused attention of PyTorch')
    shape = dict(nargs=4, type=int, default=[1, 5, 256, 256], metavar=('B', 'T', 'H', 'W'))
    parser.add_argument('--shape', **shape, help='clips, frames, height and width of the batch (default: 1 5 256 256)')
    add_json_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.fake_gpu.device import has_fake_gpu, restart_with_fake_gpu

    if not has_fake_gpu():
        restart_with_fake_gpu()

    import msgspec
    from vs_upstream import lend_torchvision, load_published, use_fused_attention

    from vrtspike.ops import DEFORM_CONV2D
    from vrtspike.runtime.environment import commit, versions

    lend_torchvision(DEFORM_CONV2D.find('triton').run)
    network, _ = load_published(args.upstream, 0, None)
    if args.fused:
        use_fused_attention(network)
    step = published_step(network, tuple(args.shape), fused=args.fused)
    provenance = {'kind': 'on_paper', 'versions': versions(), 'commit': commit(), 'overrides': {}, 'backends': []}
    write_result({**provenance, 'step': msgspec.to_builtins(step)}, args.json)
    if args.json != '-':
        total = step.total
        print(f'{total.launches:,} launches, {total.gb:,.0f} GB, {total.model_ms:,.0f} ms on paper')


def published_step(network: Callable, shape: tuple[int, ...], *, fused: bool) -> PaperStep:
    """Return the cost of the second of two training iterations; the code of others has no stages.

    Args:
        network: The class of the clone.
        shape: (B, T, H, W) of the batch.
        fused: Whether it computes in bfloat16; its attention must have been replaced before.
    """
    import torch
    from vs_upstream import CONFIG

    from vrtspike.benchmarking.fake_gpu.attention import ChosenAttention
    from vrtspike.benchmarking.fake_gpu.counter import StepCounter
    from vrtspike.benchmarking.fake_gpu.device import fake_gpu
    from vrtspike.benchmarking.fake_gpu.step import PaperStep, cost_of, grouped, to_fake_gpu
    from vrtspike.runtime.device import MIB

    clips, frames, height, width = shape
    model = network(**CONFIG).train()
    with fake_gpu():
        to_fake_gpu(model)
        blur, sharp = torch.empty(2, clips, frames, 3, height, width, device='cuda').unbind()
        optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
        counter, attention = StepCounter(), ChosenAttention()
        for tensor in (*model.parameters(), *model.buffers(), blur):
            counter.hold(tensor)
        with counter, attention:
            for _ in range(2):
                counter.reset()
                attention.choices.clear()
                optimizer.zero_grad()
                with torch.autocast('cuda', dtype=torch.bfloat16, enabled=fused):
                    restored = model(blur)
                charbonnier(restored, sharp).backward()
                optimizer.step()
    return PaperStep(
        config='published, fused attention' if fused else 'published',
        shape=list(shape),
        precision='bfloat16' if fused else 'float32',
        total=cost_of(counter.operations),
        peak_memory_mib=round(counter.peak_bytes / MIB, 1),
        waits=dict(counter.waits),
        copies=dict(counter.copies),
        host_operations=dict(counter.host_operations),
        operators=grouped((operation.name, operation) for operation in counter.operations),
        attention=dict(attention.choices.most_common()),
        **{key: {} for key in ('phases', 'stages', 'parts', 'lines', 'backends')},
    )


def charbonnier(restored: Tensor, sharp: Tensor) -> Tensor:
    """Return the loss that the published networks were trained with."""
    return ((restored.float() - sharp) ** 2 + 1e-9).sqrt().mean()


if __name__ == '__main__':
    run_tool(main)
