from vrtspike.reporting import instant_curve


def test_a_curve_for_each_network(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(instant_curve, 'save_figure', lambda figure, path: figures.append(figure))
    instant_curve.plot({'a': {0.5: 30, 0: 28}, 'b': {0: 27, 0.5: 31}}, tmp_path / 'x.png')
    (ax,) = figures[0].axes
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[0, 28], [0.5, 30]], [[0, 27], [0.5, 31]]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ['a', 'b']
