import msgspec
import pytest

from vrtspike.analysis import compare, read_logs
from vrtspike.analysis.checklist import Check
from vrtspike.reporting.terminal import MAX_ROWS, comparison_table, report_text, show_checks, show_comparison


def test_a_report_has_summary_tables_and_findings(report):
    text = report_text(report)
    for expected in ('Summary', 'Bottlenecks', '1. stage8', 'Validation', 'Findings', report.findings[0].title[:20]):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 120
    assert '\x1b' not in text


def test_text_from_the_log_is_not_read_as_markup(report):
    text = report_text(msgspec.structs.replace(report, name='[red]a[/red]', warnings=['[bold]b']))
    assert '[red]a[/red]' in text
    assert '[bold]b' in text


def test_long_tables_are_cut(report):
    many = {f'part{i}': report.parts['stage1/attention'] for i in range(MAX_ROWS + 2)}
    text = report_text(msgspec.structs.replace(report, parts=many))
    assert 'and 2 more: see --html or --json' in text


def test_without_findings_it_says_so(report):
    assert 'Nothing stands out.' in report_text(msgspec.structs.replace(report, findings=[]))


@pytest.fixture
def comparison(make_run, made_up):
    fast = made_up.STAGES | {'stage8': (60.0, 30.0, 150.0)}
    runs = [make_run('a', samples=100), make_run('b', samples=100, seed=2, stages=fast)]
    return compare(*(read_logs([run], run.name) for run in runs))


def test_a_comparison_has_a_row_for_each_stage_coloured_by_its_verdict(comparison):
    table = comparison_table(comparison)
    assert table.title == 'a against b'
    row = next(row for row in table.rows if row[0] == 'stage8')
    assert row[3].startswith('x0.7')
    assert row[-1] == 'faster'
    assert table.levels[table.rows.index(row)] == 'faster'
    assert [row[0] for row in table.rows[:2]] == ['iteration (ms)', 'whole clip']
    assert 'peak memory (MiB)' in [row[0] for row in table.rows]


def test_a_comparison_is_printed_with_its_caveats(comparison, capsys):
    show_comparison(comparison)
    text = capsys.readouterr().out
    assert 'a against b' in text
    assert 'Limits of these numbers' in text


def test_checks_are_one_line_each(capsys):
    show_checks([Check('loss', True, '1 to 1'), Check('memory', False, '[2]'), Check('quality', None, 'unknown')])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ['pass', 'fail', '????']
    assert '[2]' in lines[1]
