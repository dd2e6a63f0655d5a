"""The backends of deformable convolution, fastest first; :class:`~vrtspike.ops.backends.Operator` picks one."""

from __future__ import annotations

from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.deform_conv import compiled
from vrtspike.ops.deform_conv.grid_sample import grid_sample
from vrtspike.ops.deform_conv.reference import reference

DEFORM_CONV2D = Operator(
    'deform_conv2d',
    (
        Backend('torchvision', compiled.torchvision, dtypes=compiled.DTYPES, missing=compiled.torchvision_missing),
        # On CPUs mmcv's backward pass takes longer than sampling with PyTorch's own operator.
        Backend('mmcv', compiled.mmcv, devices=('cuda',), dtypes=compiled.DTYPES, missing=compiled.mmcv_missing),
        Backend('grid_sample', grid_sample),
        Backend('reference', reference),
    ),
)
