from vrtspike.reporting.tables import table_text


def test_columns_line_up_and_nothing_is_cut():
    text = table_text('Clips', ['clip', 'gain dB'], [['a' * 150, '+1.00'], ['b', None]], footer=['mean', '+1.00'])
    lines = text.splitlines()
    assert lines[0] == 'Clips'
    assert 'a' * 150 in text
    first, second, mean = (
        next(line for line in lines if line.split()[:1] == [name]) for name in ('a' * 150, 'b', 'mean')
    )
    assert len(first) == len(second) == len(mean)
    assert second.split() == ['b', '-']
    assert lines.index(mean) > lines.index(second)


def test_brackets_are_text_and_no_colour_codes_are_written():
    text = table_text('[bold]T', ['[red]x[/red]'], [['[0, 1]']])
    for part in ('[bold]T', '[red]x[/red]', '[0, 1]'):
        assert part in text
    assert '\x1b' not in text


def test_without_a_footer_there_is_no_last_row():
    assert table_text('T', ['x'], [[1]]).split()[-1] == '1'
