from pathlib import Path

import pytest
import torch

from vrtspike.plugins import load_plugins
from vrtspike.registry import BACKBONES
from vrtspike.testing import check_backbone


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_backbone_promises():
    check_backbone(dict(type='ResidualCNN', channels=4, depths=(1, 1)))


@pytest.mark.parametrize('size', [(8, 8), (7, 9)])
def test_untrained_it_is_the_identity(size):
    clip = torch.rand(1, 2, 3, *size)
    assert torch.equal(BACKBONES.build(dict(type='ResidualCNN'))(clip), clip)
