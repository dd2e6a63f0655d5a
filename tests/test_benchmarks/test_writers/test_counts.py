"""Numbers of the code in the text of pages: what the pins of other tests say, where both exist."""

import re
from pathlib import Path

import pytest
from writers import counts
from writers.places import pages

ROOT = Path(__file__).resolve().parents[3]
NUMBER = r'<!--=(parameters\.[\w.]+)-->(.*?)<!--/-->'


@pytest.fixture(scope='module')
def values():
    return counts.values(ROOT)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('parameters.lite', '744,773'),
        ('parameters.lite.backbone', '710,741'),
        ('parameters.spike_side', '5,411,712'),
        ('parameters.SpikeEncoder3D', '4,812,672'),
        ('gmacs.lite', '7.1'),
    ],
)
def test_figures(values, name, text):
    assert values[name]() == text


def test_pages_show_the_parameters(values):
    """What takes longer to count is checked with all figures, in the slow test of the command."""
    shown = {match for page in pages(ROOT) for match in re.findall(NUMBER, page.read_text(encoding='utf-8'))}
    assert len(shown) > 20
    assert shown == {(name, values[name]()) for name, _ in shown}


def test_nothing_is_built_for_pages_without_figures(tmp_path, update, monkeypatch):
    (tmp_path / 'README.md').write_text('a <!--=other-->1<!--/-->')
    monkeypatch.setattr(counts, 'build', lambda *arguments: pytest.fail('built a network'))
    assert update('counts', tmp_path) == []
