from pathlib import Path

import pytest

from vrtspike.plugins import load_plugins
from vrtspike.testing import check_tsa


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_temporal_self_attention_promises():
    check_tsa(dict(type='NewTsa'))
