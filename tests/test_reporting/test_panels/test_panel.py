import pytest
from matplotlib.figure import Figure

from vrtspike.reporting.palette import INK, OTHER_STAGES
from vrtspike.reporting.panels.panel import Run, log_scale, over_iterations


def labels(ax, axis):
    ax.figure.draw_without_rendering()
    scale = getattr(ax, f'{axis}axis')
    low, high = scale.get_view_interval()
    return [tick.label1.get_text() for tick in scale.get_major_ticks() if low <= tick.get_loc() <= high]


def test_a_stage_has_its_colour_that_of_the_others_or_that_of_the_run(report):
    run = Run(report, INK, stages={'stage8': '#123456'})
    assert [run.stage_colour(name) for name in ('stage8', 'loss')] == ['#123456', OTHER_STAGES]
    assert Run(report, INK).stage_colour('stage8') == INK


def test_all_iterations_of_all_curves_are_shown(report):
    ax = Figure().add_subplot()
    over_iterations(ax, [Run(report, INK)])
    low, high = ax.get_xlim()
    assert low < min(report.curves['loss'].iterations) < max(report.curves['iteration_ms'].iterations) < high


def test_iterations_are_whole_numbers_with_commas(report):
    report.curves['loss'].iterations[:] = [1, 60_000]
    ax = Figure().add_subplot()
    over_iterations(ax, [Run(report, INK)])
    assert labels(ax, 'x') == ['0', '15,000', '30,000', '45,000', '60,000']


@pytest.mark.parametrize(
    ('ends', 'expected'), [((3, 60), ['5', '10', '20', '50']), ((0.05, 500), ['0.1', '1', '10', '100'])]
)
def test_logarithmic_scales_have_plain_numbers(ends, expected):
    ax = Figure().add_subplot()
    ax.set_ylim(*ends)
    log_scale(ax, 'y')
    assert labels(ax, 'y') == expected
