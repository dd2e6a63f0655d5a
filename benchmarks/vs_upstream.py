"""Compare the published VRT, from a clone of its repository, with ours: same weights, same shapes, interleaved.

The clone is neither changed nor copied. It runs in float32, as published, and on CPUs twice: with the C library
returning freed memory, its default, and keeping it, as our tools do. On GPUs it also runs as one would first speed it
up: in bfloat16 autocast, with its attention computed by PyTorch's fused operator. Each side has its own process. Their
calls are interleaved. A training call makes two steps, times the second, and then frees its memory for the next side.

Without torchvision, the clone gets a deformable convolution that agrees with the reference: the fastest one that is
available, measured on the shape of the rows.

Examples:
    git clone https://github.com/JingyunLiang/VRT /path/to/VRT
    python benchmarks/vs_upstream.py --upstream /path/to/VRT
    python benchmarks/vs_upstream.py --upstream /path/to/VRT --rows train memory --sizes 64 --rounds 5 --json F
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import sys
import types
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import msgspec
from mmengine.config import Config

from vrtspike.cli import add_device_argument, run_tool, tool_parser
from vrtspike.runtime.atomic_write import write_json

BACKBONE = Config.fromfile(Path(__file__).parents[1] / 'configs/_base_/models/vrt_deblur.py').model.backbone.to_dict()
CONFIG = {key: value for key, value in BACKBONE.items() if key != 'type' and not key.startswith('use_checkpoint')}
"""The released deblurring networks."""

ROWS = ('forward', 'train', 'memory')

PRECISIONS = ('float32', 'bfloat16')
"""Precisions of ours; each is compared with the same calls of the published code."""

MEMORY_BACK, MEMORY_KEPT = 'published', 'published_memory_kept'
"""The published code, with freed memory returned and kept."""

SDPA = 'published_sdpa'
"""The published code with PyTorch's fused attention. It is timed in bfloat16."""

REFERENCES = {
    'cpu': {MEMORY_BACK: 'float32', MEMORY_KEPT: 'float32'},
    'cuda': {MEMORY_BACK: 'float32', SDPA: 'bfloat16'},
}
"""By type of device: the sides of the published code and their precisions."""


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--upstream', type=Path, required=True, metavar='DIR', help='a clone of JingyunLiang/VRT')
    parser.add_argument('--rows', nargs='+', choices=ROWS, default=list(ROWS), help='what to measure (default: all)')
    parser.add_argument('--sizes', nargs='+', type=int, default=[64], metavar='N', help='pixels a side (default: 64)')
    parser.add_argument('--frames', type=int, default=6, help='frames of the clip (default: 6)')
    parser.add_argument('--rounds', type=int, default=3, help='timed calls of each side (default: 3)')
    add_device_argument(parser)
    parser.add_argument('--json', type=Path, metavar='F', help='write the record there')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.pairs import load_average
    from vrtspike.runtime.device import chosen_device
    from vrtspike.runtime.environment import describe_environment

    device = chosen_device(args.device)
    published, lent = load_published(args.upstream, args.sizes[0], device)
    settings = {'config': CONFIG, 'frames': args.frames, 'deform_conv2d_of_published': lent}
    record = {'kind': 'vs_upstream', **describe_environment(device), **settings, 'rows': []}
    for size in args.sizes:
        for row in args.rows:
            before = load_average()
            found = memory_row(args, size, device) if row == 'memory' else timed_row(published, row, size, args, device)
            found = {'row': row, 'size': size, **found, 'load_average': [before, load_average()]}
            record['rows'].append(found)
            print(json.dumps(found), flush=True)
            if args.json:
                write_json(args.json, record)


def load_published(folder: Path, size: int, device) -> tuple[Callable, str]:
    """Return the class of the clone and the name of its deformable convolution.

    Raises:
        ConfigError: The folder is not such a clone.
    """
    from vrtspike.errors import ConfigError

    if not (folder / 'models/network_vrt.py').is_file():
        raise ConfigError(f'--upstream {folder}: no models/network_vrt.py there; give a clone of JingyunLiang/VRT')
    try:
        import torchvision  # noqa: F401

        lent = 'torchvision'
    except (ImportError, RuntimeError):
        lent = lend_deform_conv2d(size, device)
    if sys.version_info >= (3, 12):
        importlib.import_module('setuptools')  # brings back distutils, which the clone imports
    sys.path.insert(0, str(folder.resolve()))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        network = importlib.import_module('models.network_vrt').VRT
    return network, lent


def lend_deform_conv2d(size: int, device) -> str:
    """Install a torchvision of one function, the fastest that agrees with the reference; return its name."""
    import torch

    from vrtspike.benchmarking.pairs import interleaved_ms
    from vrtspike.ops import DEFORM_CONV2D
    from vrtspike.ops.deform_conv import compiled

    candidates = {'grid_sample': DEFORM_CONV2D.find('grid_sample').run}
    if compiled.missing('mmcv') is None:
        candidates['mmcv'] = compiled.mmcv
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 96, size, size), (1, 288, size, size), (1, 144, size, size), (96, 96, 3, 3))
    x, offset, mask, weight = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    expected = DEFORM_CONV2D.find('reference').run(x, offset, mask, weight, None, padding=1)

    def step(run):
        leaves = [tensor.detach().requires_grad_() for tensor in (x, offset, mask, weight)]
        run(*leaves, None, padding=1).sum().backward()

    correct = {
        name: run
        for name, run in candidates.items()
        if torch.allclose(run(x, offset, mask, weight, None, padding=1), expected, rtol=1e-3, atol=1e-3)
    }
    times = interleaved_ms({name: lambda run=run: step(run) for name, run in correct.items()}, 3, device)
    name = min(times, key=lambda key: min(times[key]))

    lend_torchvision(correct[name])
    return name


def lend_torchvision(run: Callable) -> None:
    """Install a torchvision whose only function is a deformable convolution, run by one of our backends."""

    def deform_conv2d(input, offset, weight, bias=None, stride=1, padding=0, dilation=1, mask=None):
        pad = padding if isinstance(padding, int) else padding[0]
        return run(input, offset, mask, weight, bias, padding=pad)

    module, ops = types.ModuleType('torchvision'), types.ModuleType('torchvision.ops')
    module.ops, ops.deform_conv2d = ops, deform_conv2d
    sys.modules |= {'torchvision': module, 'torchvision.ops': ops}


def make_network(network: Callable, device, **options):
    """Return a network of :data:`CONFIG` with parameters that depend only on the order of their names."""
    import torch

    model = network(**CONFIG, **options).to(device)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            fan_in = values[0].numel() if values.ndim > 1 else 1
            scale = 0.5 if 'bias_table' in name else fan_in**-0.5 * (1 if values.ndim > 1 else 0.05)
            norm_weight = values.ndim == 1 and name.endswith('weight')
            parameter.copy_(values * scale + norm_weight)
    return model


def timed_row(published: Callable, row: str, size: int, args, device) -> dict:
    """Return the times of all sides in one row, and how much their results differ.

    The training iterations of all sides do not fit into memory at once, so each returns the memory that the C library
    keeps.
    """

    from vrtspike.benchmarking.pairs import orders, paired_ratio, spread
    from vrtspike.native.allocator import give_freed_memory_back

    references = REFERENCES[device.type]
    job = dict(upstream=str(args.upstream), row=row, size=size, frames=args.frames, device=str(device))
    agreement = compare(published, row == 'train', clip_of(args.frames, size, device))
    give_freed_memory_back()
    with contextlib.ExitStack() as stack:
        theirs = {name: stack.enter_context(Side(name, job)) for name in references}
        ours = stack.enter_context(Side('ours', job))
        calls = {name: lambda name=name: theirs[name].call_ms(references[name]) for name in references}
        calls |= {precision: lambda precision=precision: ours.call_ms(precision) for precision in PRECISIONS}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for name in orders(tuple(calls), args.rounds):
            times[name].append(calls[name]())
    row_of = {
        'times_ms': times,
        'medians_ms': {name: spread(found) for name, found in times.items()},
        'speedups': {
            precision: {name: paired_ratio(times[name], times[precision]) for name in references}
            for precision in PRECISIONS
        },
        'agreement': agreement,
    }
    return msgspec.to_builtins(row_of)


class Side:
    """A process that makes the calls of one side, one at a time.

    Args:
        name: A side of :data:`REFERENCES`, or 'ours'.
        job: The other arguments of :func:`prepare`.
    """

    def __init__(self, name: str, job: dict) -> None:
        self.name = name
        start = functools.partial(prepare, name, **job)
        self.pool = ProcessPoolExecutor(1, mp_context=get_context('spawn'), initializer=start)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_) -> None:
        self.pool.shutdown()

    def call_ms(self, precision: str) -> float:
        """Return the milliseconds of one call.

        Raises:
            VrtSpikeError: The process has ended.
        """
        from vrtspike.errors import VrtSpikeError

        try:
            return self.pool.submit(timed_call, precision).result()
        except BrokenProcessPool as error:
            raise VrtSpikeError(f"the process of the side '{self.name}' has ended; see above") from error


PREPARED: dict[str, Callable[[str], float]] = {}
"""In the process of a side: its calls."""


def prepare(side: str, upstream: str, row: str, size: int, frames: int, device: str) -> None:
    """Prepare this process for the calls of one side.

    The first forward pass of a precision, and an iteration before every timed one, are warm-up and not timed.
    """
    import torch

    from vrtspike.native.allocator import give_freed_memory_back
    from vrtspike.runtime.device import call_seconds

    trains, device, warm = row == 'train', torch.device(device), set()
    model, clip = network_of(side, upstream, device).train(trains), clip_of(frames, size, device)

    def call_ms(precision: str) -> float:
        call = functools.partial(step, model, clip, trains, precision)
        if trains or precision not in warm:
            call()
            warm.add(precision)
        found = 1e3 * call_seconds(call, device)
        if trains:
            model.zero_grad()
            give_freed_memory_back()
        return found

    PREPARED['call_ms'] = call_ms


def timed_call(precision: str) -> float:
    return PREPARED['call_ms'](precision)


def network_of(side: str, upstream: str, device, **options):
    """Return the network of one side, and set how this process treats freed memory."""
    from vrtspike.models import VRT
    from vrtspike.native.allocator import allocate_tensors_with_malloc, keep_freed_memory

    if side != MEMORY_BACK:
        keep_freed_memory()
    if side == 'ours':
        allocate_tensors_with_malloc()
    network = VRT if side == 'ours' else load_published(Path(upstream), 16, device)[0]
    if side == SDPA:
        use_fused_attention(network)
    return make_network(network, device, **options)


def use_fused_attention(network: Callable) -> None:
    """Let the attention of the published network, in this process, run in PyTorch's fused operator."""
    from torch.nn import functional as F

    def attention(self, q, k, v, mask, x_shape, relative_position_encoding=True):
        windows, tokens, channels = x_shape
        added = None
        if relative_position_encoding:
            index = self.relative_position_index[:tokens, :tokens]
            added = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        if mask is not None:
            mask = mask[:, None, :tokens, :tokens].repeat(windows // len(mask), 1, 1, 1)
            added = mask if added is None else added + mask
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=self.scale)
        return found.transpose(1, 2).reshape(windows, tokens, channels)

    sys.modules[network.__module__].WindowAttention.attention = attention


def clip_of(frames: int, size: int, device):
    """Return a fixed clip of noise."""
    import torch

    return torch.rand(1, frames, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device)


def step(model, clip, trains: bool, precision: str):
    """Run a forward pass, or forward and backward pass of a training iteration; return the restored clip."""
    import torch

    bfloat16 = torch.autocast(clip.device.type, dtype=torch.bfloat16)
    context = bfloat16 if precision == 'bfloat16' else contextlib.nullcontext()
    if not trains:
        with torch.no_grad(), context:
            return model(clip)
    model.zero_grad()
    with context:
        restored = model(clip)
    ((restored.float() - clip) ** 2 + 1e-6).sqrt().mean().backward()
    return restored.detach()


def compare(published: Callable, trains: bool, clip) -> dict:
    """Return, by precision of ours, how much outputs and gradients differ, without stochastic depth."""
    from vrtspike.models import VRT

    theirs, ours = (make_network(network, clip.device).eval() for network in (published, VRT))
    expected = step(theirs, clip, trains, 'float32')
    grads = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    found = {}
    for precision in PRECISIONS:
        restored = step(ours, clip, trains, precision).float()
        found[precision] = {
            'output_max_relative': relative(restored, expected),
            'output_l2_relative_to_residue': float((restored - expected).norm() / (expected - clip).norm()),
        }
        if trains:
            parameters = dict(ours.named_parameters())
            pairs = [(parameters[name].grad, grad) for name, grad in grads.items()]
            difference = sum(float((left - right).double().square().sum()) for left, right in pairs)
            norm = sum(float(right.double().square().sum()) for _, right in pairs)
            found[precision] |= {'gradient_l2_relative': (difference / norm) ** 0.5, 'gradients_compared': len(pairs)}
    return found


def relative(found, expected) -> float:
    """Return the largest difference relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def memory_row(args, size: int, device) -> dict:
    """Return the peak memory of one training iteration of each side, each in a process of its own."""
    from vrtspike.benchmarking.peak_memory import in_new_process

    found = {}
    for key, checkpointed in (('plain', False), ('checkpointed', True)):
        for side in ('published', 'ours'):
            arguments = (str(args.upstream), side, size, args.frames, str(device), checkpointed)
            what = f"a training iteration of the side '{side}'"
            found[f'{side}_{key}_mib'] = in_new_process(what, memory_of, *arguments)
        found[f'{key}_ratio'] = found[f'ours_{key}_mib'] / found[f'published_{key}_mib']
    return found


def memory_of(upstream: str, side: str, size: int, frames: int, device: str, checkpointed: bool) -> float:
    """Return the peak memory in MiB of one float32 training iteration: resident on a CPU, allocated on a GPU."""
    import torch

    from vrtspike.profiling.memory import peak_memory_mib

    options = dict(use_checkpoint_attn=checkpointed, use_checkpoint_ffn=checkpointed)
    device = torch.device(device)
    model = network_of(side, upstream, device, **options).train()
    step(model, clip_of(frames, size, device), trains=True, precision='float32')
    return peak_memory_mib(device)


if __name__ == '__main__':
    run_tool(main)
