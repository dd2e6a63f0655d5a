from pathlib import Path

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.plugins import load_plugins
from vrtspike.registry import TSA
from vrtspike.testing import check_tsa


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_tsa_promises():
    check_tsa(dict(type='TemporalShift'))


def test_a_quarter_of_the_channels_comes_from_each_side():
    block = TSA.build(dict(type='TemporalShift', channels=4))
    frames = torch.arange(1.0, 4.0).view(1, 1, 3, 1, 1).expand(1, 4, 3, 1, 1)
    shifted = block.shift(frames)[0, :, :, 0, 0]
    assert shifted.tolist() == [[0, 1, 2], [2, 3, 0], [1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize('share', [0, 0.6])
def test_a_share_that_cannot_work_is_refused(share):
    with pytest.raises(ConfigError, match=f'share={share}'):
        TSA.build(dict(type='TemporalShift', channels=4, share=share))
