import pytest
from matplotlib.figure import Figure

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.palette import INK
from vrtspike.reporting.panels.panel import Run
from vrtspike.reporting.panels.validation import PANEL, draw, scores_of, sentence


@pytest.fixture
def report_of(make_run, made_up):
    def make(name='run', **changes):
        folder = make_run(name, samples=40)
        made_up.write(folder / '20260101/vis_data/scalars.json', made_up.scalars(**changes))
        return read_logs([folder])

    return make


def test_the_score_against_the_blurred_input(report_of):
    text = sentence(build_report(report_of()))
    assert text == 'PSNR 28.40 dB at iteration 40, 3.40 dB above the blurred input; it is the best so far.'
    text = sentence(build_report(report_of(psnr=24.0, validate_every=40)))
    assert text == 'PSNR 24.40 dB at iteration 40, 0.60 dB below the blurred input.'


def test_the_best_score_if_it_was_not_the_last(made_up, tmp_path):
    lines = made_up.scalars()
    lines[-1]['psnr'] = 28.0
    report = build_report(read_logs([made_up.write(tmp_path / 'log.json', lines)]))
    assert sentence(report) == (
        'PSNR 28.00 dB at iteration 40, 3.00 dB above the blurred input; the best was 28.30 at iteration 30.'
    )


def test_a_single_validation_is_a_large_point_where_it_was_made(report_of):
    report = build_report(report_of(steps=40, validate_every=40))
    body = Figure()
    draw(body, [Run(report, INK, stages={})])
    psnr, ssim = body.axes
    assert [ax.get_ylabel() for ax in (psnr, ssim)] == ['PSNR (dB)', 'SSIM']
    (point,) = (line for line in psnr.lines if line.get_marker() == 'o')
    assert (point.get_xdata().tolist(), point.get_ydata().tolist()) == ([40], [28.4])
    assert point.get_markersize() >= 8
    low, high = psnr.get_xlim()
    assert low < 1 < 40 < high < 45  # the axis is that of the whole training
    (blurred,) = (line for line in psnr.lines if line.get_marker() != 'o')
    assert blurred.get_ydata() == [25.0, 25.0]
    body.draw_without_rendering()
    names = {text.get_text() for labels in psnr.artists for text in labels.texts}
    assert names == {'28.40', 'blurred input 25.00'}


def test_a_difference_that_means_nothing_looks_small(report_of):
    body = Figure()
    draw(body, [Run(build_report(report_of(psnr=24.6, validate_every=40)), INK, stages={})])  # 25.0, like the input
    low, high = body.axes[0].get_ylim()
    assert high - low == pytest.approx(1.0)
    low, high = body.axes[1].get_ylim()
    assert high - low == pytest.approx(0.02)


def test_psnr_and_ssim_come_first(report):
    report.curves |= dict.fromkeys(('lpips', 'other'), report.curves['psnr'])
    report.validation = dict.fromkeys(('other', 'lpips', 'blur/psnr', 'ssim', 'psnr'))
    assert scores_of(report) == ['psnr', 'ssim', 'lpips']


def test_compared(report_of):
    logs = [report_of('a'), report_of('b', psnr=27.5)]
    text = PANEL.compared(compare(*logs), *map(build_report, logs))
    assert text == 'PSNR 28.40 and 27.90 dB (-0.50); SSIM 0.8500 and 0.8500 (+0.0000).'


def test_inputs_that_two_runs_share_are_drawn_once(report_of):
    reports = [build_report(report_of('a')), build_report(report_of('b', psnr=27.5))]
    body = Figure()
    draw(body, [Run(each, colour) for each, colour in zip(reports, ('#111111', '#222222'), strict=True)])
    lines = {line.get_color() for line in body.axes[0].lines if line.get_linestyle() == '--'}
    assert len(lines) == 1
    assert not lines & {'#111111', '#222222'}
