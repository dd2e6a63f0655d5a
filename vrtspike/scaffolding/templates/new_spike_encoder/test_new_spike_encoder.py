from pathlib import Path

import pytest

from vrtspike.plugins import load_plugins
from vrtspike.testing import check_spike_encoder


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_spike_encoder_promises():
    check_spike_encoder(dict(type='NewSpikeEncoder'))
