"""What an operator costs on a GPU, on paper: kernels that it launches, bytes that it moves, and a model of its time.

The model of time is a roofline with a fixed cost per launch: max(bytes / bandwidth, FLOPs / rate) + launches x 2 us.
Its rates are those that large kernels reach on an H100. It knows nothing of caches, overlap or
the quality of a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

BYTES_PER_MS = 2.7e9
LAUNCH_MS = 0.002

FLOPS_PER_MS = {'attention': (120e9, 25e9), 'conv': (300e9, 200e9), '': (400e9, 50e9)}
"""By what the operator's name contains: in 16 bit, and in float32 (convolutions in TF32, which is their default)."""

LAUNCHES = {
    'convolution': 2,
    'convolution_backward': 4,
    'native_layer_norm_backward': 2,
    '_scaled_dot_product_cudnn_attention_backward': 3,
    '_scaled_dot_product_efficient_attention_backward': 3,
    '_scaled_dot_product_flash_attention_backward': 4,
    'grid_sampler_2d_backward': 2,
    'index_put': 3,
    'sort': 4,
    'embedding_dense_backward': 4,
}
"""Kernels of operators that launch more than one, by name: the usual number, as PyTorch's profiler shows it."""

WITHOUT_KERNEL = frozenset(
    {
        *(
            'empty',
            'empty_like',
            'empty_permuted',
            'empty_strided',
            'new_empty',
            'new_empty_strided',
            'resize_',
            'set_',
        ),
        *('detach', 'is_same_size', 'lift_fresh', 'result_type', '_local_scalar_dense', '_unsafe_view'),
    }
)
"""Operators that launch nothing, besides views."""

LIST_KERNELS = ('_foreach_', '_fused_adam', '_fused_sgd')
"""Beginnings of the names of operators over lists of tensors."""

TENSORS_PER_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""Tensors that a kernel over lists of tensors takes, by the number of lists."""
BLOCKS_PER_LAUNCH, ELEMENTS_PER_BLOCK = 320, 65_536
"""Limits of the same kernels."""

WRITE_ONLY = frozenset(
    {
        *('bernoulli_', 'copy_', 'fill_', 'normal_', 'uniform_', 'zero_', '_foreach_copy_', '_foreach_zero_'),
        *('triton_gate_backward', 'flash_attention'),
        *('flash_attention_backward_queries', 'flash_attention_backward_keys'),
    }
)
"""Operators that do not read what they write to. None reads an argument called ``out``."""

CASTS = ('_to_copy', 'copy_', '_foreach_copy_')
"""Operators that copy, possibly to another type."""


class Operation(NamedTuple):
    """One operator's call on the GPU."""

    name: str
    dtype: str
    """Of the first tensor among its arguments or results."""
    launches: int
    bytes: int
    """Read and written, at least once each."""
    flops: int
    casts: bool
    """Whether it copies a tensor to another type."""
    line: str = ''
    """The line of this package that called it, or whose gradient it computes."""

    @property
    def ms(self) -> float:
        """Its time by the model."""
        rates = next(rates for part, rates in FLOPS_PER_MS.items() if part in self.name)
        rate = rates[self.dtype not in ('bfloat16', 'float16')]
        return max(self.bytes / BYTES_PER_MS, self.flops / rate) + LAUNCH_MS * self.launches


def operation(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Operation | None:
    """Return what a call costs, or None if it launches no kernel.

    Args:
        func: The overload that was called, such as ``torch.ops.aten.mul.Tensor``.
        args: Its arguments.
        kwargs: Its named arguments.
        out: What it returned.
    """
    if not has_kernel(func):
        return None
    name = func.overloadpacket.__name__
    given, results = tensors_of((args, kwargs)), tensors_of(out)
    if not given and not results:
        return None
    changed = mutated(func, args, kwargs)
    written = [*changed, *without(results, given)]
    read = without(given, changed if name in WRITE_ONLY else outputs(func, kwargs))
    return Operation(
        name=name,
        dtype=str((read or written)[0].dtype).removeprefix('torch.'),
        launches=list_launches(args) if name.startswith(LIST_KERNELS) else LAUNCHES.get(name, 1),
        bytes=sum(map(touched_bytes, read)) + sum(map(touched_bytes, written)),
        flops=flops_of(func, args, kwargs, out),
        casts=name in CASTS and bool(read and written) and read[0].dtype != written[0].dtype,
    )


def has_kernel(func: Any) -> bool:
    """Return whether an overload computes or copies anything."""
    return func.namespace != 'prim' and not func.is_view and func.overloadpacket.__name__ not in WITHOUT_KERNEL


def list_launches(args: Sequence[Any]) -> int:
    """Return the launches of an operator over lists of tensors, which packs many tensors into a launch."""
    lists = [each for each in args if isinstance(each, (list, tuple)) and tensors_of(each)]
    blocks = sum(-(-tensor.numel() // ELEMENTS_PER_BLOCK) for tensor in lists[0])
    tensors = TENSORS_PER_LAUNCH[min(len(lists), max(TENSORS_PER_LAUNCH))]
    return max(-(-len(lists[0]) // tensors), -(-blocks // BLOCKS_PER_LAUNCH))


def tensors_of(tree: Any) -> list[Tensor]:
    """Return the tensors in nested arguments or results."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def mutated(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the arguments that an operator writes to."""
    given = zip(func._schema.arguments, args, strict=False)
    named = ((argument, kwargs[argument.name]) for argument in func._schema.arguments if argument.name in kwargs)
    writes = [value for argument, value in (*given, *named) if argument.alias_info and argument.alias_info.is_write]
    return tensors_of(writes)


def outputs(func: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that an operator was given for its results, as ``out=``."""
    return tensors_of([kwargs[each.name] for each in func._schema.arguments if each.is_out and each.name in kwargs])


def without(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that are none of ``others``."""
    excluded = set(map(id, others))
    return [tensor for tensor in tensors if id(tensor) not in excluded]


def touched_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor's distinct elements: those of an expanded axis count once."""
    elements = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= size if stride else 1
    return elements * tensor.element_size()


def flops_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> int:
    """Return the FLOPs of products, convolutions, attention and operators with a registered formula; 0 for others."""
    formula = flop_registry.get(func.overloadpacket)
    return formula(*args, **kwargs, out_val=out) if formula else 0
