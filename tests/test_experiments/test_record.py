"""From finished runs to the record, the table and the plot."""

import json

import pytest

from vrtspike.experiments.presentation import HEADINGS, failures, markdown, plot, rows
from vrtspike.experiments.record import read_stage_costs, record_of


@pytest.fixture
def record(runs):
    variants = list(dict.fromkeys(run.variant.name for run in runs))
    by_name = {run.variant.name: run.variant for run in runs}
    return record_of([by_name[name] for name in variants], runs, {'absent': 'out of luck'}, 'base.py', {'a.b': 1})


def by_name(record):
    return {each['name']: each for each in record['variants']}


def test_says_what_was_compared(record):
    assert (record['config'], record['common'], record['seeds']) == ('base.py', {'a.b': 1}, [0, 1, 2])
    assert (record['iterations'], record['commit']) == (10, '0' * 40)
    json.dumps(record, allow_nan=False)


def test_a_row_has_quality_and_costs(record):
    reference = by_name(record)['reference']
    assert reference['psnr_db']['mean'] == pytest.approx(28.1)
    assert reference['gain_db']['mean'] == pytest.approx(3.1)
    assert (reference['parameters'], reference['gmacs'], reference['peak_memory_mib']) == (7, 1.5, 50.0)
    assert reference['stage_ms'] == {'fuse1': 3.0, 'stage1': 3.0}
    assert reference['difference_db'] is None


def test_verdicts(record):
    found = {name: each['difference_db']['verdict'] for name, each in by_name(record).items() if each['difference_db']}
    assert found == {'better': 'better', 'worse': 'worse', 'absent': 'not informative'}


def test_rows_are_ordered_by_quality_with_failures_last(record):
    assert [row[0] for row in rows(record)] == ['reference', 'better', 'worse', 'absent']
    assert all(len(row) == len(HEADINGS) for row in rows(record))
    better, absent = rows(record)[1], rows(record)[3]
    assert better[4].startswith('+0.5')
    assert absent[5] == 'failed'
    assert failures(record) == ['absent failed: out of luck']


def test_what_is_not_informative_shows_no_number(finished):
    runs = [finished('reference', 0, 26.0), finished('x', 0, 27.0)]
    (_, row) = rows(record_of([run.variant for run in runs], runs, {}, 'base.py', {}))
    assert row[4:6] == ['', 'not informative']


def test_markdown_has_a_line_per_row(record):
    lines = markdown(record).splitlines()
    assert len(lines) == 2 + 4
    assert {line.count('|') for line in lines} == {len(HEADINGS) + 1}


def test_the_plot_is_an_image(record, tmp_path):
    plot(record, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


def test_without_an_instrument_costs_are_unknown(tmp_path):
    assert read_stage_costs(tmp_path / 'none.jsonl') == {'stage_ms': None, 'gmacs': None}
