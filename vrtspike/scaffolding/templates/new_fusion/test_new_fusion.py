from pathlib import Path

import pytest

from vrtspike.plugins import load_plugins
from vrtspike.testing import check_fusion_head


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_fusion_head_promises():
    check_fusion_head(dict(type='NewFusion'))
