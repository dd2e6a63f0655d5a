import numpy as np
import pytest

from vrtspike.analysis.statistics.resampling import (
    Blocks,
    autocorrelation,
    interval,
    simultaneous_quantile,
    student_from_normal,
    student_quantile,
)

STUDENT = {3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 1000: 1.962}


@pytest.mark.parametrize(('freedom', 'quantile'), STUDENT.items())
def test_student_quantile(freedom, quantile):
    assert student_quantile(freedom) == pytest.approx(quantile, abs=6e-4)


def test_resamples_are_the_same_every_time():
    rows = np.random.default_rng(0).random((100, 2))
    assert np.array_equal(Blocks.of(rows).sums(), Blocks.of(rows).sums())
    assert not np.array_equal(Blocks.of(rows, seed=1).weights, Blocks.of(rows).weights)


def test_medians_are_those_of_the_repeated_rows():
    rows = np.random.default_rng(0).random((30, 1))
    blocks = Blocks.of(rows)
    ends = np.append(blocks.edges, len(rows))
    for weights, found in zip(blocks.weights[:50], blocks.medians()[:50, 0], strict=True):
        repeated = np.concatenate(
            [np.repeat(rows[a:b, 0], w) for a, b, w in zip(ends, ends[1:], weights, strict=False)]
        )
        assert found == np.sort(repeated)[(len(repeated) - 1) // 2]


def test_means_are_those_of_the_repeated_rows():
    rows = np.arange(10.0)[:, None]
    blocks = Blocks.of(rows)
    sizes = np.diff(np.append(blocks.edges, 10))
    expected = blocks.weights @ [rows[e : e + s].sum() for e, s in zip(blocks.edges, sizes, strict=True)]
    assert blocks.means()[:, 0] == pytest.approx(expected / (blocks.weights @ sizes))


@pytest.mark.parametrize('rho', [0.0, 0.6])
def test_intervals_cover_the_truth_of_autocorrelated_samples(made_up, rho):
    """Of 95 % intervals for a mean of 1, nearly 95 % hold it; without blocks only two thirds would at rho = 0.6."""
    covered = 0
    for seed in range(200):
        values = made_up.noise(400, seed, sigma=0.05, rho=rho)
        blocks = Blocks.of(values)
        low, high = interval(values.mean(), blocks.means()[:, 0], blocks.number)
        covered += low <= 1 <= high
    assert 0.88 <= covered / 200 <= 1.0


def test_simultaneous_intervals_are_wider():
    deviations = np.random.default_rng(0).normal(size=(1000, 20))
    one = simultaneous_quantile(deviations[:, :1], freedom=10_000)
    many = simultaneous_quantile(deviations, freedom=10_000)
    assert one == pytest.approx(1.96, abs=0.1)
    assert many == pytest.approx(3.02, abs=0.15)  # of the largest of 20 independent ones


def test_without_spread_one_quantile_serves():
    assert simultaneous_quantile(np.zeros((1000, 3)), freedom=10) == student_quantile(10)


def test_autocorrelation(made_up):
    assert autocorrelation(made_up.noise(4000, 0, rho=0.6)) == pytest.approx(0.6, abs=0.05)
    assert autocorrelation(np.ones(10)) == 0.0


@pytest.mark.parametrize('freedom', STUDENT)
def test_the_normal_quantile_becomes_students(freedom):
    assert student_from_normal(1.959963984540054, freedom) == pytest.approx(student_quantile(freedom))
    assert student_from_normal(9.0, 1000) > 9.0  # at probabilities that are 1 in double precision


def test_resamples_without_a_denominator_have_no_ratio():
    """Of 16 rows in four blocks, the first four alone have a denominator: resamples without them are left out."""
    rows = np.column_stack([np.repeat([2.0, 0.0], [4, 12]), np.repeat([6.0, 0.0], [4, 12]), np.ones(16)])
    blocks = Blocks.of(rows)
    without = np.count_nonzero(blocks.weights[:, 0] == 0)
    assert 0 < without < len(blocks.weights)
    found = blocks.ratios()
    assert found.shape == (len(blocks.weights) - without, 2)
    assert (found[:, 0] == 3).all()
    assert np.isfinite(found).all()
