"""Numbers of records in the text of pages."""

import json
import re
from pathlib import Path

import pytest
from writers import counts
from writers.figures import FIGURES
from writers.places import figure_names

from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).resolve().parents[3]
TEXT = 'It took <!--=overhead.measured-->?<!--/--> % ({<!--=overhead.training_low-->?<!--/-->}) longer.\n'


@pytest.fixture
def root(tmp_path):
    record = {'ratio_measured_median': 1.0325, 'ratio_p2_5': 0.99}
    path = tmp_path / 'benchmarks/records/overhead/tiny.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    (tmp_path / 'docs').mkdir()
    for name in ('README.md', 'docs/x.zh-CN.md'):
        (tmp_path / name).write_text(TEXT, encoding='utf-8')
    return tmp_path


def test_every_page_gets_the_records_numbers(root, update):
    assert len(update('figures', root)) == 4
    for name in ('README.md', 'docs/x.zh-CN.md'):
        assert re.sub('<!--.*?-->', '', (root / name).read_text(encoding='utf-8')) == 'It took 3.2 % ({−1.0}) longer.\n'
    assert update('figures', root) == []


def test_an_unknown_name_is_an_error_with_the_nearest_one(root, update):
    (root / 'docs/y.md').write_text('a <!--=overhead.mesured-->1<!--/-->')
    message = r"docs/y\.md: no figure is called 'overhead.mesured'; did you mean 'overhead.measured'"
    with pytest.raises(VrtSpikeError, match=message):
        update('figures', root)


def test_an_absent_record_is_an_error(root, update):
    (root / 'docs/y.md').write_text('a <!--=tiny.gain_db-->1<!--/-->')
    with pytest.raises(VrtSpikeError, match=r'benchmarks/records/tiny\.json: no such record'):
        update('figures', root)


@pytest.mark.parametrize(('content', 'message'), [('{}', "nothing to make 'overhead.measured' of"), ('{', 'no JSON')])
def test_a_record_without_the_number_is_an_error(root, update, content, message):
    (root / 'benchmarks/records/overhead/tiny.json').write_text(content)
    with pytest.raises(VrtSpikeError, match=message):
        update('figures', root)


@pytest.mark.skipif(not (ROOT / 'plugins').is_dir(), reason='a page of a plugin shows some')
def test_every_figure_is_shown_somewhere():
    shown = {name for names in figure_names(ROOT).values() for name in names}
    assert {name for figures in FIGURES.values() for name in figures} <= shown


def test_names_are_unique():
    names = [name for figures in FIGURES.values() for name in figures]
    assert len(names) == len({*names})
    assert not {*names} & {*counts.values(ROOT)}
