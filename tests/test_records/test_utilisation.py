"""MFU and HFU of iterations whose work and time are round numbers."""

import msgspec
import pytest

from vrtspike.records.stage_costs import CountedCost, Owner, Sample, Utilisation
from vrtspike.records.utilisation import sample_utilisation

PEAK = 1000.0  # GMAC/s: one GMAC a millisecond


def sample(times, clips=2):
    return Sample(iteration=1, iteration_ms=sum(times.values()), times=times, clips=clips, frames=clips)


def counted(gmacs, **recomputed):
    return CountedCost(gmacs=gmacs, **recomputed)


TRAINED = {Owner('data'): 40.0, Owner('body'): 20.0, Owner('body', None, 'backward'): 40.0}


def test_a_backward_pass_counts_twice():
    used = sample_utilisation(sample(TRAINED), {'body': counted(5.0)}, PEAK)
    assert used.stages == {'body': Utilisation(2 * 5 * 3 / 60, 2 * 5 * 3 / 60)}
    assert used.iteration == Utilisation(0.3, 0.3)  # waiting for data is time too


def test_parts_are_time_of_their_stage():
    times = {Owner('body', '/mlp'): 20.0, Owner('body', '/mlp', 'backward'): 40.0, Owner('data'): 40.0}
    assert sample_utilisation(sample(times), {'body': counted(5.0)}, PEAK).iteration.mfu == 0.3


def test_a_frozen_stage_has_no_backward_pass():
    times = {Owner('flow'): 50.0, **TRAINED}
    used = sample_utilisation(sample(times, clips=1), {'flow': counted(25.0), 'body': counted(5.0)}, PEAK)
    assert used.stages['flow'].mfu == 0.5
    assert used.iteration.mfu == pytest.approx((25 + 15) / 150)


def test_recomputation_counts_for_the_hardware_only():
    times = {**TRAINED, Owner('body', '/mlp', 'recompute'): 20.0}
    used = sample_utilisation(sample(times), {'body': counted(5.0, recomputed_gmacs=3.0)}, PEAK)
    assert used.iteration == Utilisation(30 / 120, 36 / 120)
    assert used.stages['body'] == Utilisation(30 / 80, 36 / 80)


def test_hfu_is_unknown_if_the_recomputation_was_not_counted():
    times = {**TRAINED, Owner('body', None, 'recompute'): 20.0, Owner('head'): 4.0}
    used = sample_utilisation(sample(times), {'body': counted(5.0), 'head': counted(1.0)}, PEAK)
    assert used.iteration == Utilisation(32 / 124)
    assert used.stages['head'].hfu == 0.5
    assert msgspec.to_builtins(used.stages['body']) == {'mfu': 30 / 80}


@pytest.mark.parametrize('costs', [{}, {'body': counted(0.0)}, {'elsewhere': counted(1.0)}])
def test_what_was_not_counted_is_absent(costs):
    assert sample_utilisation(sample(TRAINED), costs, PEAK) is None


def test_without_a_measured_peak_there_is_no_utilisation():
    assert sample_utilisation(sample(TRAINED), {'body': counted(5.0)}, 0.0) is None
