"""The table of a record."""

from vrtspike.experiments.presentation import COLUMNS, failure_lines, table


def test_rows_are_ordered_by_quality_with_failures_last(record):
    shown = table(record)
    assert shown.title == 'base.py: 10 iterations, seeds 0, 1, 2'
    assert [row[0] for row in shown.rows] == ['reference', 'better', 'worse', 'absent']
    better, absent = shown.rows[1], shown.rows[3]
    assert better[4].startswith('+0.5')
    assert absent[1:6] == ('0', '-', '-', '-', 'failed')
    assert failure_lines(record) == ['absent failed: out of luck']


def test_what_is_not_informative_shows_no_number(finished, record_of_runs):
    (_, row) = table(record_of_runs([finished('reference', 0, 26.0), finished('x', 0, 27.0)])).rows
    assert row[4:6] == ('', 'not informative')


def test_markdown_has_a_line_per_row(record):
    lines = table(record).markdown().splitlines()
    assert len(lines) == 2 + 4
    assert {line.count('|') for line in lines} == {len(COLUMNS) + 1}
    assert lines[1] == f'| --- {"| --: " * 4}| --- {"| --: " * 8}|'
