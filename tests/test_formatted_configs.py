"""The text of configs, which the tests let yapf format faster than MMEngine does."""

from pathlib import Path

import pytest
from formatted_configs import format_code
from yapf.yapflib import yapf_api

from vrtspike.config import load_config

CONFIGS = Path(__file__).parents[1] / 'configs'


@pytest.mark.parametrize('name', ['vrt_spike_baseline', 'recipes/all'])
def test_it_is_the_text_that_mmengine_writes(monkeypatch, name):
    config = load_config(CONFIGS / f'{name}.py')
    text = config.pretty_text
    monkeypatch.setattr(yapf_api, 'FormatCode', format_code)
    assert config.pretty_text == text
