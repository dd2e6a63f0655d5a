import numpy as np
from matplotlib.figure import Figure

from vrtspike.analysis.statistics.curves import Curve
from vrtspike.reporting.palette import INK
from vrtspike.reporting.panels.course import draw_course, running_median


def test_scatter_goes_and_the_course_stays():
    course = np.exp(-np.arange(400) / 100)
    noisy = course * np.random.default_rng(0).lognormal(0, 0.5, 400)
    found = np.array(running_median(noisy))
    assert np.abs(np.log(found / course)).mean() < 0.15
    assert np.abs(np.log(noisy / course)).mean() > 0.35


def test_a_single_outlier_moves_nothing():
    values = [1.0] * 50
    values[20] = 1000.0
    assert running_median(values) == [1.0] * 50


def test_there_is_a_median_for_every_value():
    for number in (16, 17, 61, 400):
        assert len(running_median(range(number))) == number


def test_few_points_are_joined_and_many_smoothed():
    ax = Figure().add_subplot()
    key = draw_course(ax, Curve([1, 2, 3], [5.0, 1.0, 4.0]), INK)
    assert (key.get_label(), ax.lines[0].get_ydata().tolist()) == ('each sample', [5.0, 1.0, 4.0])
    ax = Figure().add_subplot()
    key = draw_course(ax, Curve(list(range(40)), [1.0, 3.0] * 20), INK)
    points, line = ax.lines
    assert key.get_label() == 'running median'
    assert points.get_ydata().tolist() == [1.0, 3.0] * 20
    assert line.get_ydata().tolist() == running_median([1.0, 3.0] * 20)
