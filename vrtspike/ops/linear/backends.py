"""The backends of the linear layer in the order of preference."""

from __future__ import annotations

from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.linear import onednn
from vrtspike.ops.linear.reference import reference

LINEAR = Operator(
    'linear',
    (
        Backend('onednn', onednn.onednn, ('cpu',), onednn.dtypes(), missing=onednn.missing),
        Backend('reference', reference),
    ),
)
