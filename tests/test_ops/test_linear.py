"""The linear layer: every backend against the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vrtspike.models.layers.linear import Linear
from vrtspike.ops import LINEAR, linear, use_backends
from vrtspike.ops.linear import onednn

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason='needs oneDNN')
DTYPES = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def onednn_everywhere(monkeypatch):
    """oneDNN computes the same on processors where it is not faster."""
    backend = LINEAR.find('onednn')
    for name, value in (('dtypes', tuple(DTYPES)), ('missing', lambda: None)):
        object.__setattr__(backend, name, value)
        monkeypatch.setattr
    yield
