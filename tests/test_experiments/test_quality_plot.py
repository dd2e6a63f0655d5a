"""The picture of a record."""

import re

import pytest

from vrtspike.errors import LogError
from vrtspike.experiments.quality_plot import plot


def test_every_variant_that_ran_is_named(record, tmp_path):
    plot(record, tmp_path / 'plot.svg')
    texts = re.findall(r'>([^<]*)</text>', (tmp_path / 'plot.svg').read_text(encoding='utf-8'))
    assert {'reference', 'better', 'worse'} <= set(texts)
    assert 'absent' not in texts
    assert 'PSNR of held-out clips (dB), 95 % over seeds' in texts


def test_an_unknown_format_is_refused(record, tmp_path):
    with pytest.raises(LogError, match=r"no picture can be written as '\.xyz'"):
        plot(record, tmp_path / 'plot.xyz')
