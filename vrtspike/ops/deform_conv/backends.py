"""The backends of deformable convolution, fastest first; :class:`~vrtspike.ops.backends.Operator` picks one."""

from __future__ import annotations

from functools import partial

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.deform_conv import native
from vrtspike.ops.deform_conv.compiled import DTYPES, missing, mmcv, torchvision
from vrtspike.ops.deform_conv.grid_sample import grid_sample
from vrtspike.ops.deform_conv.on_gpu import on_gpu
from vrtspike.ops.deform_conv.reference import reference

DEFORM_CONV2D = Operator(
    'deform_conv2d',
    (
        Backend('native', native.native, devices=('cpu',), dtypes=native.DTYPES, missing=native.missing),
        Backend('torchvision', torchvision, dtypes=DTYPES, missing=partial(missing, 'torchvision')),
        # On CPUs mmcv's backward pass takes longer than sampling with PyTorch's own operator.
        Backend('mmcv', mmcv, devices=('cuda',), dtypes=DTYPES, missing=partial(missing, 'mmcv')),
        Backend('grid_sample', grid_sample),
        # Its place is that of a kernel nobody has timed on a GPU: without trials it is used on request only.
        Backend('triton', on_gpu, **triton_support.SERVES),
        Backend('reference', reference),
    ),
)
