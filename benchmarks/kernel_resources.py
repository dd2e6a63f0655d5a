"""Compile our Triton kernels for GPUs that need not be here, and read what they use from the machine code.

The launches are those of one forward and backward pass of window attention, of the gate of a gated MLP, layer
normalisation and the sum of windows and map, or of deformable convolution and its offsets. Triton's own toolchain
compiles them for NVIDIA (sm_80, sm_86, sm_90) or AMD (gfx942). Nothing runs. The share of the roofline is on paper: the
time in which an H100 moves each tensor of a launch once (2.7 TB/s), over the time in which its schedulers issue the
kernel's instructions (132 x 4 a clock at 1.755 GHz), if that is longer. Caches, waiting and the rates of single units
are not in it.

Examples:
    python benchmarks/kernel_resources.py
    python benchmarks/kernel_resources.py --arch sm_86 gfx942 --dtype float32 --window 5x8x8
    python benchmarks/kernel_resources.py --convolution 96x16 16x1 --arch sm_86
    python benchmarks/kernel_resources.py --check --out kernels.json
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from vrtspike.cli import run_tool, tool_parser
from vrtspike.reporting.table import Column, Table
from vrtspike.runtime.atomic_write import write_json

ARCHITECTURES = ('sm_80', 'sm_86', 'sm_90', 'gfx942')
DTYPES = ('bfloat16', 'float16', 'float32')
SHARED_KIB = {'sm': 99, 'gfx': 64}
"""Shared memory that a block may use: on NVIDIA's consumer GPUs (sm_86, sm_89), which have the least, and on AMD's."""


TOKEN_CHANNELS = 192
"""Channels of the kernels of single tokens: those of an MLP's hidden map in networks of 96."""

BYTES_PER_SECOND, ISSUED_PER_SECOND = 2.7e12, 132 * 4 * 1.755e9
"""Of an H100, in the model of time on paper."""


class Launch(msgspec.Struct, frozen=True):
    """A launch of a kernel, as the operator makes it."""

    kernel: Any
    arguments: tuple
    constants: dict[str, Any]
    warps: int
    programs: int
    registers: int | None = None
    """That a thread may use, on NVIDIA; None leaves it to the assembler."""

    @property
    def name(self) -> str:
        return self.kernel.__name__.removesuffix('_kernel')

    @property
    def moved_bytes(self) -> int:
        """Bytes of all tensors, once each."""
        import torch

        tensors = [value for value in self.arguments if isinstance(value, torch.Tensor)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @property
    def turns(self) -> tuple[int, ...]:
        """How often a program runs its loops, the outer one first.

        They are over blocks of keys or pixels, windows, rows, or taps and channels.
        """
        named = dict(zip(self.kernel.arg_names, self.arguments, strict=False)) | self.constants
        if 'S' in named:  # constants in a struct
            named |= {name: constant.value for name, constant in named['S']._asdict().items()}
        if 'BG' in named:  # of a convolution
            blocks = -(-named['P'] // named['BM'])
            taps_and_channels = named['K'] ** 2 * -(-named['DG'] // named['BG'])
            return (-(-named['count'] * blocks // named['splits']) if 'splits' in named else taps_and_channels,)
        if 'programs' in named:
            rows = named['count'] if 'count' in named else named['rows']
            return (-(-rows // (named['programs'] * named['R'])),)
        if 'NP' not in named:
            return (1,)
        if 'grad_kv' in named:
            return (-(-named['windows'] // named['splits']),)
        over_keys = named['NP'] // named['BN']
        if 'grad_q' in named and named['splits'] is not None:
            return -(-named['windows'] // (named['splits'] * named['WINDOWS'])), over_keys
        return (over_keys,)


class Resources(msgspec.Struct):
    """What a compiled kernel uses."""

    kernel: str
    architecture: str
    dtype: str
    shape: str
    """A window, or the channels and deformable groups of a convolution; empty for kernels of single tokens or pixels,
    which multiply no matrices."""
    registers: int
    """Of a thread."""
    spilled: int
    """Bytes of local memory of a thread on NVIDIA GPUs, spilled registers on AMD's."""
    shared_bytes: int
    """Of a block."""
    tensor_core_instructions: int
    instructions: int
    vector_loads: int
    """Loads of 16 bytes from global memory; 0 where not counted, on AMD."""
    roofline: float
    """Share of the roofline of memory on paper; 0 where not estimated, on AMD."""

    @property
    def problems(self) -> list[str]:
        """What keeps the kernel from running well, or on consumer GPUs at all."""
        found = ['spills'] if self.spilled else []
        family = 'gfx' if self.architecture.startswith('gfx') else 'sm'
        if self.shared_bytes > SHARED_KIB[family] * 1024:
            found.append('shared memory')
        if self.shape and self.dtype != 'float32' and not self.tensor_core_instructions:
            found.append('no tensor cores')
        return found


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--arch', nargs='+', default=ARCHITECTURES[:3], choices=ARCHITECTURES, help='architectures (the NVIDIA ones)'
    )
    parser.add_argument('--dtype', nargs='+', default=['bfloat16'], choices=DTYPES, help='types (bfloat16)')
    parser.add_argument(
        '--window', nargs='+', default=['5x8x8', '2x8x8'], metavar='TxHxW', help='windows in tokens (%(default)s)'
    )
    parser.add_argument('--channels', type=int, default=16, help='channels of a head (%(default)s)')
    parser.add_argument('--mutual', action='store_true', help='mutual attention, of windows of two frames')
    parser.add_argument('--unshifted', action='store_true', help='windows without a shift, as in every other block')
    parser.add_argument(
        '--convolution',
        nargs='+',
        metavar='CxD',
        help='deformable convolutions in place of windows: channels and deformable groups, such as 96x16',
    )
    parser.add_argument('--check', action='store_true', help='exit with 1 if a kernel has a problem')
    parser.add_argument('--out', type=Path, metavar='JSON', help='write a record there')
    args = parser.parse_args()
    if not all(re.fullmatch(r'\d+x\d+x\d+', window) for window in args.window):
        parser.error(f'--window takes lengths such as 5x8x8, not {" ".join(args.window)}')
    if not all(re.fullmatch(r'[1-9]\d*x[1-9]\d*', convolution) for convolution in args.convolution or ()):
        parser.error(f'--convolution takes channels and groups such as 96x16, not {" ".join(args.convolution)}')
    for channels, groups in (map(int, convolution.split('x')) for convolution in args.convolution or ()):
        if channels % groups:
            parser.error(f'--convolution: {groups} groups do not divide {channels} channels')
    if args.mutual and any(not window.startswith('2x') for window in args.window):
        parser.error('--mutual takes windows of two frames, such as --window 2x8x8')
    return args


@contextmanager
def recorded(kernels: ModuleType, launches: list[Launch]) -> Iterator[None]:
    """Record the launches of a module's kernels inside the ``with`` block; nothing runs."""
    from triton.runtime.jit import JITFunction

    class Recorder:
        def __init__(self, kernel: JITFunction) -> None:
            self.kernel = kernel

        def __getitem__(self, grid: tuple) -> Any:
            def record(*arguments: Any, num_warps: int, maxnreg: int | None = None, **constants: Any) -> None:
                launches.append(Launch(self.kernel, arguments, constants, num_warps, math.prod(grid), maxnreg))

            return record

    found = {name: value for name, value in vars(kernels).items() if isinstance(value, JITFunction)}
    try:
        for name, kernel in found.items():
            setattr(kernels, name, Recorder(kernel))
        yield
    finally:
        for name, kernel in found.items():
            setattr(kernels, name, kernel)


def launches_of_attention(
    window: tuple[int, int, int], channels: int, dtype: str, *, mutual: bool, shifted: bool = True
) -> list[Launch]:
    """Return the launches of window attention with six heads and 32 x 32 windows, forward and backward.

    The kernels sum what the network's do: the gradient of a bias, in mutual attention that of an added encoding.
    """
    import torch

    from vrtspike.ops.window_attention import triton_kernels
    from vrtspike.ops.window_attention.flash import Attention, flash_together
    from vrtspike.ops.window_attention.windows import Settings

    heads, launches = 6, []
    shift = (0, window[1] // 2, window[2] // 2) if shifted else (0, 0, 0)
    settings = Settings(window, shift, heads, mutual, channels**-0.5)
    size = (1, window[0], 32 * window[1], 32 * window[2], 3 * heads * channels)
    qkv = torch.empty(size, dtype=getattr(torch, dtype), requires_grad=True)
    rows = math.prod(2 * length - 1 for length in window)
    table = None if mutual else torch.zeros(rows, heads, requires_grad=True)
    bias = torch.zeros(3 * heads * channels, requires_grad=True)
    added = bias.detach().expand(math.prod(window[1:]), -1) if mutual else None
    with recorded(triton_kernels, launches):
        out = flash_together(qkv, [Attention(settings, table, bias, added)])
        out.backward(out)
    return launches


def launches_of_convolution(channels: int, deformable_groups: int, dtype: str) -> list[Launch]:
    """Return the launches of deformable convolution of 8 maps of 128 x 128 pixels, forward and backward."""
    import torch

    from vrtspike.ops.deform_conv import triton_kernels
    from vrtspike.ops.deform_conv.on_gpu import on_gpu

    taps, size, launches = 9 * deformable_groups, (128, 128), []
    shapes = (8, channels, *size), (8, 2 * taps, *size), (8, taps, *size), (channels, channels, 3, 3), (channels,)
    x, offset, *others = (torch.empty(shape, dtype=getattr(torch, dtype), requires_grad=True) for shape in shapes)
    with recorded(triton_kernels, launches):
        out = on_gpu(x, offset.float(), *others, padding=1)
        out.backward(out)
    return launches


def launches_of_offsets(deformable_groups: int, dtype: str) -> list[Launch]:
    """Return the launches of offsets and masks of 8 maps of 128 x 128 pixels, forward and backward."""
    import torch

    from vrtspike.ops.flow_offsets import triton_kernels
    from vrtspike.ops.flow_offsets.on_gpu import on_gpu

    launches = []
    predicted = torch.empty(8, 27 * deformable_groups, 128, 128, dtype=getattr(torch, dtype), requires_grad=True)
    flows = torch.zeros(8, 2, 128, 128)
    with recorded(triton_kernels, launches):
        results = on_gpu(predicted, flows, 10.0)
        torch.autograd.backward(results, results)
    return launches


def launches_of_tokens(channels: int, dtype: str) -> list[Launch]:
    """Return the launches of the gate, normalisation and scattered sum of 100,000 tokens, forward and backward."""
    import torch

    from vrtspike.ops.add_scattered import Addend, Norm
    from vrtspike.ops.add_scattered import on_gpu as scattered
    from vrtspike.ops.add_scattered import triton_kernels as sum_kernels
    from vrtspike.ops.gated_linear import on_gpu as gate
    from vrtspike.ops.gated_linear import triton_kernels as gate_kernels
    from vrtspike.ops.layer_norm import on_gpu as norm
    from vrtspike.ops.layer_norm import triton_kernels as norm_kernels
    from vrtspike.ops.rows import Order

    launches = []
    x = torch.empty(100_000, channels, dtype=getattr(torch, dtype), requires_grad=True)
    weight, index = torch.ones(channels, requires_grad=True), torch.zeros(len(x), dtype=torch.int32)
    order = Order(index, index)
    with recorded(gate_kernels, launches), recorded(norm_kernels, launches), recorded(sum_kernels, launches):
        hidden, biases = x.detach(), (weight.detach(), weight.detach())
        grads = torch.empty(2, *x.shape).to(x.dtype)
        gate.TRITON.gradients(gate.TRITON.values(hidden, hidden, biases), hidden, hidden, biases, *grads)
        results = (
            norm.KERNELS.normalised(x, weight, weight, 1e-5, x.dtype, order),
            scattered.on_gpu(x, Addend([x], order, bias=weight)),
        )
        scattered.on_gpu_normed(hidden, Addend([hidden], order, bias=biases[0]), Norm(*biases, 1e-5, x.dtype))
        for out in results:
            out.backward(out)
    return launches


def compiled(launch: Launch, architecture: str) -> Any:
    """Return Triton's compiled kernel of a launch, specialised for its arguments as Triton does at run time."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, attributes = {}, dict(launch.constants), {}
    names = launch.kernel.arg_names
    for i, (name, value) in enumerate(zip(names, launch.arguments, strict=False)):
        signature[name] = triton_type(value)
        if signature[name] == 'constexpr':
            constants[name] = value
        elif signature[name].startswith('*') or (isinstance(value, int) and value % 16 == 0):
            attributes[(i,)] = [['tt.divisibility', 16]]
    signature |= dict.fromkeys(launch.constants, 'constexpr')
    by_place = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(launch.kernel, {name: signature[name] for name in names}, by_place, attributes)
    amd = architecture.startswith('gfx')
    target = GPUTarget('hip', architecture, 64) if amd else GPUTarget('cuda', int(architecture.removeprefix('sm_')), 32)
    options = {'num_warps': launch.warps, 'maxnreg': launch.registers}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # a default that changes in Triton 3.10
        return triton.compile(source, target=target, options=options)


def triton_type(value: Any) -> str:
    """Return the type of an argument in Triton's signatures; None and 1 are compiled in."""
    import torch

    types = {torch.bfloat16: '*bf16', torch.float16: '*fp16', torch.float32: '*fp32', torch.int32: '*i32'}
    if isinstance(value, torch.Tensor):
        return types[value.dtype]
    if value is None or value == 1:
        return 'constexpr'
    return 'i32' if isinstance(value, int) else 'fp32'


def resources_of(launch: Launch, architecture: str, dtype: str, shape: str) -> Resources:
    """Compile a launch and return what the kernel uses."""
    kernel = compiled(launch, architecture)
    usage = amd_usage(kernel.asm['amdgcn']) if 'amdgcn' in kernel.asm else nvidia_usage(kernel.asm['cubin'], launch)
    return Resources(launch.name, architecture, dtype, shape, shared_bytes=kernel.metadata.shared, **usage)


def nvidia_usage(cubin: bytes, launch: Launch) -> dict[str, Any]:
    """Return registers, spills and instructions of a compiled kernel, as Triton's own cuobjdump lists them."""
    import triton

    program = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'

    def listed(option: str) -> str:
        return subprocess.run([program, option, file.name], capture_output=True, text=True, check=True).stdout

    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        usage, code = listed('-res-usage'), listed('-sass')
    registers, stack = re.search(r'REG:(\d+) STACK:(\d+)', usage).groups()
    return dict(
        registers=int(registers),
        spilled=int(stack) if re.search(r'\bSTL\b', code) else 0,  # the assembler may reserve what nothing uses
        tensor_core_instructions=len(re.findall(r'\bHG?MMA', code)),
        instructions=len(re.findall(r'/\*[0-9a-f]{4,5}\*/', code)),
        vector_loads=len(re.findall(r'\bLDG\.E\.\S*128', code)),
        roofline=roofline_share(launch, issued(code, launch.turns)),
    )


def issued(code: str, turns: tuple[int, ...]) -> int:
    """Return the instructions that a warp issues, from a listing, if its longest loops, one in the other, run so often.

    A loop that runs once, or whose turns are written out, is in none of the jumps.
    """
    lines = re.findall(r'/\*([0-9a-f]{4,5})\*/\s+(.*?);', code)
    places = [int(place, 16) for place, _ in lines]
    jumps = [(at, re.search(r'\bBRA\b.* 0x([0-9a-f]+)', text)) for at, (_, text) in zip(places, lines, strict=True)]
    loops = [sum(int(found[1], 16) <= place <= at for place in places) for at, found in jumps if found]
    count, times = len(lines), 1
    longer = sorted((length for length in loops if length > 1), reverse=True)  # the last jump of a kernel is to itself
    for length, turn in zip(longer, turns, strict=False):
        count += times * max(turn - 1, 0) * length
        times *= max(turn, 1)
    return count


def roofline_share(launch: Launch, instructions: int) -> float:
    """Return the time to move the tensors of a launch over the time to issue the instructions of its warps, up to 1."""
    moving = launch.moved_bytes / BYTES_PER_SECOND
    return round(min(1.0, moving / (launch.programs * launch.warps * instructions / ISSUED_PER_SECOND)), 3)


def amd_usage(assembly: str) -> dict[str, Any]:
    """Return registers, spills and instructions of a kernel from its assembly."""
    return dict(
        registers=int(re.search(r'\.vgpr_count:\s+(\d+)', assembly)[1]),
        spilled=int(re.search(r'\.vgpr_spill_count:\s+(\d+)', assembly)[1]),
        tensor_core_instructions=len(re.findall(r'^\s+v_mfma', assembly, re.MULTILINE)),
        instructions=len(re.findall(r'^\t[a-z]\w*', assembly, re.MULTILINE)),
        vector_loads=0,
        roofline=0.0,
    )


def resources_table(found: list[Resources]) -> Table:
    """Return a row for each kernel; those with a problem are marked."""
    columns = [
        Column('kernel', 'left'),
        'arch',
        'dtype',
        'shape',
        'registers',
        'spilled',
        'shared KiB',
        'tensor cores',
    ]
    rows = [
        [
            each.kernel,
            each.architecture,
            each.dtype,
            each.shape,
            each.registers,
            each.spilled,
            f'{each.shared_bytes / 1024:.1f}',
            each.tensor_core_instructions,
            each.instructions,
            each.vector_loads,
            f'{each.roofline:.0%}',
            ', '.join(each.problems),
        ]
        for each in found
    ]
    levels = ['severe' if each.problems else '' for each in found]
    columns += ['instructions', 'vector loads', 'roofline', Column('problems', 'left')]
    nvidia, amd = SHARED_KIB.values()
    note = f'limits of shared memory: {nvidia} KiB on consumer GPUs of NVIDIA, {amd} KiB on AMD; nothing was run'
    return Table(title='Compiled kernels', columns=columns, rows=rows, levels=levels, notes=[note])


def main() -> None:
    args = parse_args()
    found = []
    for shape, dtype in itertools.product(args.convolution or args.window, args.dtype):
        lengths = tuple(map(int, shape.split('x')))
        if args.convolution:
            launches, others = launches_of_convolution(*lengths, dtype), launches_of_offsets(lengths[1], dtype)
        else:
            options = dict(mutual=args.mutual, shifted=not args.unshifted)
            launches, others = launches_of_attention(lengths, args.channels, dtype, **options), []
        for arch in args.arch:
            found += [resources_of(launch, arch, dtype, shape) for launch in launches]
            found += [resources_of(launch, arch, dtype, '') for launch in others]
    if not args.convolution:
        for dtype in args.dtype:
            launches = launches_of_tokens(TOKEN_CHANNELS, dtype)
            found += [resources_of(launch, arch, dtype, '') for arch in args.arch for launch in launches]
    print(resources_table(found).text())
    if args.out:
        from importlib.metadata import version

        write_json(args.out, {'triton': version('triton'), 'kernels': msgspec.to_builtins(found)})
    if args.check and any(each.problems for each in found):
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
