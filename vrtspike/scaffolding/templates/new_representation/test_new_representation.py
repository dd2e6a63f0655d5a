from pathlib import Path

import pytest

from vrtspike.plugins import load_plugins
from vrtspike.testing import check_representation


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_spike_representation_promises():
    check_representation(dict(type='NewRepresentation'))
