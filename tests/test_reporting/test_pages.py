import jinja2
import pytest
from markupsafe import Markup

from vrtspike.reporting.pages import environment, render, save_page
from vrtspike.reporting.table import Table


def test_values_are_escaped_and_markup_is_not():
    page = environment().from_string('{{ text }}{{ svg }}').render(text='<b>&', svg=Markup('<svg>'))
    assert page == '&lt;b&gt;&amp;<svg>'


def test_a_missing_variable_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match='title'):
        render('base.html')


def test_data_of_scripts_keep_their_order_and_cannot_end_the_element():
    text = environment().from_string('{{ data | tojson }}').render(data={'b': '</script>', 'a': 1})
    assert text.index('"b"') < text.index('"a"')
    assert '</script>' not in text


def test_a_page_is_written(tmp_path):
    save_page(tmp_path / 'new' / 'page.html', render('table.html', table=Table(columns=['x'], rows=[[1]])))
    assert '<td>1</td>' in (tmp_path / 'new' / 'page.html').read_text(encoding='utf-8')
