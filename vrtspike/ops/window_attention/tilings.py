"""How the Triton kernels of window attention divide their work, by the shape of the window and the type.

A short list for each kernel. On a GPU the fastest is found by a run of each at first use; one that needs more shared
memory than the GPU has is left out. Elsewhere (in Triton's interpreter, or when code is only compiled) it is the first.

Heads that are padded, such as 20 channels to 32, need more registers: their rows are loaded in more parts, and a thread
holds the place of each. Where a tiling spills on an NVIDIA GPU, one that does not comes before it if there is one. It
gives each warp less: one window, half the keys, or half the queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from vrtspike.ops.triton_support import in_triton

chosen: dict[tuple, Tiling] = {}
"""The fastest tilings found in this process, by kernel, device, type and constants."""


class Tiling(NamedTuple):
    """The blocks of a kernel."""

    queries: int
    keys: int
    warps: int
    windows: int = 1
    """Windows that one program computes together."""
    registers: int | None = None
    """That a thread may use on NVIDIA; None leaves it to the assembler."""


class Constants(NamedTuple):
    """What a kernel is compiled for, by the names in the kernels.

    WT, WH, WW window and ST, SH, SW cyclic shift, in tokens; SHIFTED: a window may have several regions; D channels
    of each of the HEADS, BD padded to a power of 2, WIDTH of all heads; N tokens that attend to each other, NP with
    padding; FRAMES groups of a window that attend separately; ROUNDED Triton's type to which factors of products are
    rounded; BM queries and BN keys at most in a block of a program, which computes WINDOWS windows together. ROW and
    OUT_ROW are the distances, in numbers, of tokens in maps of queries, keys and values, and of results. SUMS are those
    of the backward pass: 'rows', the gradient of N rows that are added, 'row', that of a bias, or 'nothing'.
    """

    WT: int
    WH: int
    WW: int
    ST: int
    SH: int
    SW: int
    SHIFTED: bool
    HEADS: int
    N: int
    NP: int
    D: int
    BD: int
    WIDTH: int
    FRAMES: int
    MUTUAL: bool
    BIAS: bool
    PRECISION: str
    ROUNDED: Any
    ROW: int
    OUT_ROW: int
    SUMS: str = 'nothing'
    TRAINS_BIAS: bool = False
    BM: int = 0
    BN: int = 0
    WINDOWS: int = 1


def padded(tokens: int) -> int:
    """Return the tokens of a window with padding: the smallest block has 16."""
    return -(-tokens // 16) * 16


def tilings_of_forward(constants: Constants, dtype: torch.dtype) -> list[Tiling]:
    """Return tilings of the forward kernel.

    A warp computes 16 queries. In 16 bit, several windows share a block of the bias and a program's fixed costs.
    Without a limit, NVIDIA's assembler would rather spill than use more than 128 or 168 registers, so that more
    programs run at once.
    """
    queries = block_of_queries(constants.N, dtype)
    keys = longest(constants.NP, 32 if dtype is torch.float32 else 64)
    one = Tiling(queries, keys, queries // 16, 1, 168 if constants.BD == 16 else 255)
    if dtype is torch.float32:
        return [one]
    counts = (3, 2) if constants.BD == 16 else (2,)
    several = [Tiling(queries, keys, queries // 16, count, 255) for count in counts]
    may_spill = constants.D < constants.BD and (constants.SUMS == 'rows' or not constants.SHIFTED)
    return [one, *several] if may_spill else [*several, one]


def tilings_of_backward(constants: Constants, dtype: torch.dtype) -> list[Tiling]:
    """Return tilings of the backward kernel of queries.

    In 16 bit, warps of 32 queries read a block of keys half as often as those of 16. Blocks of keys are short, because
    a program holds several products of them. Two windows fit the registers if heads are narrow and nothing is masked.
    A program that sums rows needs more registers. In float32, wide heads then spill too. Such a program may own any
    number of queries.
    """
    queries, narrow = block_of_queries(constants.N, dtype), constants.BD == 16
    pads, sums_rows = constants.D < constants.BD, constants.SUMS == 'rows'
    if dtype is torch.float32:
        tiling = Tiling(queries, longest(constants.NP, 32 if narrow else 16), queries // 16)
        fewer = 16 if sums_rows else queries
        spill_free = Tiling(fewer, 16, fewer // 8, registers=255)
        return [spill_free, tiling] if not narrow and (pads or sums_rows) else [tiling]
    keys = longest(constants.NP, 32)
    counts = (2, 1) if narrow and not constants.SHIFTED else (1,)
    tilings = [Tiling(queries, keys, max(1, queries // 32), count) for count in counts]
    spill_free = Tiling(queries, 16, queries // 16, registers=255)
    return [spill_free, *tilings] if pads and sums_rows else tilings


def tilings_by_keys(constants: Constants, dtype: torch.dtype) -> list[Tiling]:
    """Return tilings of the kernel whose programs own a block of keys; both blocks divide the padded window.

    A warp computes 16 queries and 16 keys at a time, in float32 half as many. Where the kernel sums the gradient of the
    bias, the warps of a block hold as many sums as a window has queries, times their keys, in registers: a larger block
    of queries has more warps for them. Two warps compute 16 queries and keys together where one had more than 40 sums
    a thread. Where nothing is summed in a single warp, NVIDIA's assembler would rather spill than use more than 168
    registers.
    """
    tokens, sums_bias, pads = constants.NP, constants.TRAINS_BIAS, constants.D < constants.BD
    if dtype is torch.float32:
        queries = divisor(tokens, 64)
        return [Tiling(queries, 16, queries // 8, registers=255)]
    queries = divisor(tokens, 128 if sums_bias and tokens > 320 else 64)
    keys = divisor(tokens, 16 if queries == 128 else 32)
    if not sums_bias:
        tiling = Tiling(queries, keys, queries // 16, registers=255 if queries == 16 else None)
        fewer = min(queries, 32)
        return [Tiling(fewer, keys, fewer // 8, registers=255), tiling] if pads else [tiling]
    warps = queries // 16 * (keys // 16)
    tiling = Tiling(queries, keys, 2 * warps if tokens * keys > 40 * 32 * warps else warps)
    return [Tiling(64, 16, 8, registers=255), tiling] if pads and queries == 64 and tokens > 128 else [tiling]


def block_of_queries(tokens: int, dtype: torch.dtype) -> int:
    """Return the queries of a program that owns queries: they divide the padded ``tokens``."""
    return divisor(padded(tokens), 32 if dtype is torch.float32 else 64)


def divisor(tokens: int, most: int) -> int:
    """Return the largest power of 2, up to ``most``, that divides ``tokens``."""
    return min(tokens & -tokens, most)


def longest(tokens: int, most: int) -> int:
    """Return the largest power of 2, up to ``most`` and ``tokens``."""
    return min(1 << (tokens.bit_length() - 1), most)


def launch(
    kernel: Any,
    programs: Callable[[Tiling], int],
    arguments: tuple,
    constants: Constants,
    tilings: list[Tiling],
) -> None:
    """Launch a kernel with the fastest of ``tilings``.

    Args:
        kernel: Writes the same results however often it runs.
        programs: Returns the number of programs for a tiling.
        arguments: The kernel's arguments, a tensor first.
        constants: Those of the tiling are replaced.
        tilings: In the order of preference.
    """

    def run(tiling: Tiling) -> None:
        options = {} if tiling.registers is None or torch.version.hip else {'maxnreg': tiling.registers}
        compiled_for = constants._replace(BM=tiling.queries, BN=tiling.keys, WINDOWS=tiling.windows)
        kernel[(programs(tiling),)](*arguments, S=in_triton(compiled_for), num_warps=tiling.warps, **options)

    first = arguments[0]
    if len(tilings) == 1 or first.device.type != 'cuda':
        return run(tilings[0])
    key = (kernel.__name__, first.device, first.dtype, constants)
    if key not in chosen:
        chosen[key] = fastest(run, tilings)
    return run(chosen[key])


def fastest(run: Callable[[Tiling], None], tilings: list[Tiling]) -> Tiling:
    """Return the tiling with which ``run`` is fastest; raises OutOfResources if none fits the GPU's shared memory."""
    from triton.runtime.errors import OutOfResources
    from triton.testing import do_bench

    times, failure = {}, None
    for tiling in tilings:
        try:
            times[tiling] = do_bench(lambda tiling=tiling: run(tiling), warmup=5, rep=20)
        except OutOfResources as error:
            failure = error
    if not times:
        raise failure
    return min(times, key=times.get)
