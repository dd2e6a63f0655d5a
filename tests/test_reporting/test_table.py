import subprocess
import sys

import pytest
from rich.console import Console

from vrtspike.reporting.table import Column, Table


def make_table(**changes):
    fields = dict(title='Clips', columns=['clip', 'gain dB'], rows=[['a', '+1.00'], ['b', None]])
    return Table(**{**fields, **changes})


def test_text_columns_line_up_and_nothing_is_cut():
    text = make_table(rows=[['a' * 150, '+1.00'], ['b', None]], footer=['mean', '+1.00']).text()
    lines = text.splitlines()
    assert lines[0] == 'Clips'
    assert 'a' * 150 in text
    first, second, mean = (
        next(line for line in lines if line.split()[:1] == [name]) for name in ('a' * 150, 'b', 'mean')
    )
    assert len(first) == len(second) == len(mean)
    assert second.split() == ['b', '-']
    assert lines.index(mean) > lines.index(second)


def test_text_takes_brackets_literally_and_has_no_colour_codes():
    text = Table(title='[bold]T', columns=['[red]x[/red]'], rows=[['[0, 1]']], levels=['severe']).text()
    for part in ('[bold]T', '[red]x[/red]', '[0, 1]'):
        assert part in text
    assert '\x1b' not in text


def test_text_without_a_footer_has_no_last_row():
    assert Table(title='T', columns=['x'], rows=[[1]]).text().split()[-1] == '1'


def test_text_without_a_title_begins_with_the_headings():
    assert make_table(title='').text().split()[0] == 'clip'


def test_text_ends_with_the_notes():
    assert make_table(notes=['one', 'two']).text().endswith('\n\n  one\n\n  two')


def test_a_terminal_colours_rows_by_level_and_shows_the_first_ones():
    table = make_table(levels=['severe', ''])
    console = Console(color_system='standard', force_terminal=True, width=80)
    with console.capture() as capture:
        console.print(table.rich(max_rows=1))
    assert '\x1b[1;31m' in capture.get()
    assert '+1.00' in capture.get()
    assert 'b' not in capture.get().split()


def test_markdown():
    table = make_table(
        columns=['clip', 'gain dB', Column('verdict', 'left')],
        rows=[['a|b', 1.5, 'kept'], ['c\nd', None, '']],
        footer=['mean', 1.5, ''],
        notes=['A note.'],
    )
    assert table.markdown() == (
        '| clip | gain dB | verdict |\n'
        '| --- | --: | --- |\n'
        '| a\\|b | 1.5 | kept |\n'
        '| c d | - |  |\n'
        '| mean | 1.5 |  |\n'
        '\n'
        'A note.'
    )


def test_html():
    table = make_table(
        columns=['clip', Column('<verdict>', 'left')],
        rows=[['<b>', 'lost'], ['c', '']],
        footer=['all', '&'],
        levels=['severe', ''],
        notes=['<i>'],
    )
    assert table.html() == (
        '<div class="scroll"><table>\n'
        '<thead><tr><th>clip</th><th class="left">&lt;verdict&gt;</th></tr></thead>\n'
        '<tbody>\n'
        '<tr class="severe"><td>&lt;b&gt;</td><td class="left">lost</td></tr>\n'
        '<tr><td>c</td><td class="left"></td></tr>\n'
        '</tbody>\n'
        '<tfoot><tr><td>all</td><td class="left">&amp;</td></tr></tfoot>\n'
        '</table></div>\n'
        '<p class="note">&lt;i&gt;</p>\n'
    )


def test_html_without_headings_has_no_head():
    assert '<thead>' not in Table(columns=['', ''], rows=[['a', 1]]).html()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'rows': [['a']]}, '1 cells for 2 columns'),
        ({'footer': [1, 2, 3]}, '3 cells for 2 columns'),
        ({'levels': ['severe']}, '1 levels for 2 rows'),
    ],
)
def test_wrong_lengths_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_table(**changes)


def test_importing_the_table_imports_nothing_heavy():
    code = 'import sys, vrtspike.reporting.table; print({"rich", "torch", "numpy", "jinja2"} & set(sys.modules))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout == 'set()\n'
