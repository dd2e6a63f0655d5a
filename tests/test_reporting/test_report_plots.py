import cv2
import numpy as np
import pytest

from vrtspike.analysis import build_report, read_logs
from vrtspike.errors import LogError
from vrtspike.reporting.report_plots import PANELS, panel_svg, panels_of, save_picture, share_text


def test_every_panel_has_something_of_a_full_report(report):
    assert panels_of(report) == list(PANELS)


@pytest.mark.parametrize(
    ('name', 'titles', 'height'),
    [
        ('legacy_timing.txt', ['Where the time goes', 'Time of iterations'], 506),
        ('legacy_train.log', ['Time of iterations', 'Training loss', 'Validation'], 1012),
    ],
)
def test_panels_without_anything_to_show_are_left_out(name, titles, height, data, tmp_path):
    report = build_report(read_logs([data / name]))
    assert [panel.title for panel in panels_of(report)] == titles
    save_picture(report, tmp_path / 'a.png')
    assert cv2.imread(str(tmp_path / 'a.png')).shape == (height, 1430, 3)


def test_picture(report, tmp_path):
    save_picture(report, tmp_path / 'new' / 'report.png')
    image = cv2.imread(str(tmp_path / 'new' / 'report.png'))
    assert image.shape[1] == 1430
    assert image.min() < 100
    # Every panel has left ink in its part of the picture; the first one has a row of its own.
    for row in np.array_split(image, 4):
        for cell in np.array_split(row, 2, axis=1):
            assert (cell < 200).mean() > 0.002


@pytest.mark.parametrize('panel', PANELS, ids=lambda panel: panel.title)
def test_svg_is_one_element_and_always_the_same(panel, report):
    text = panel_svg(panel, report)
    assert text.startswith('<svg')
    assert text.rstrip().endswith('</svg>')
    assert text == panel_svg(panel, report)


def test_stage_bars_name_every_stage_and_its_share(report, made_up):
    text = panel_svg(PANELS[0], report)
    for entry in report.bottlenecks:
        assert entry.stage in text
        assert share_text(entry) in text


def test_unknown_format(report, tmp_path):
    with pytest.raises(LogError, match=r"no picture can be written as '\.xyz'; known: .*png"):
        save_picture(report, tmp_path / 'a.xyz')
    assert list(tmp_path.glob('*.xyz')) == []
