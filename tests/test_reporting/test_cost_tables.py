from collections import Counter

import pytest
from msgspec.structs import replace

from vrtspike.profiling.flops import Costs, StageCost
from vrtspike.records.stage_costs import CountedCost, Owner, Rates, RunLine, Sample
from vrtspike.reporting.cost_tables import (
    CostMedians,
    cost_medians,
    counted_costs_table,
    measured_costs_table,
    slowest_rank,
)


def sample(iteration, flow_ms, waiting_ms=0.0):
    times = {
        Owner('flow'): flow_ms,
        Owner('flow', phase='backward'): 20.0,
        Owner('stage1'): 10.0,
        Owner('communication'): waiting_ms,
    }
    return Sample(iteration=iteration, iteration_ms=sum(times.values()), times=times, clips=2, frames=10)


def run(**changes):
    fields = dict(version=1, rank=0, world_size=1, stages=['stage1', 'flow'], precision='float32')
    return RunLine(**{**fields, 'device': {'name': 'a processor'}, 'notes': ['one note'], **changes})


@pytest.fixture
def samples():
    return [sample(i, ms) for i, ms in enumerate([5.0, 10.0, 60.0])]


def test_medians_by_stage_and_phase(samples):
    medians = cost_medians(samples)
    assert medians.iteration_ms == 40.0
    assert medians.stages['flow'] == {'forward': 10.0, 'recompute': 0.0, 'backward': 20.0}
    assert (medians.stage_ms('flow'), medians.phase_ms('forward')) == (30.0, 20.0)


def test_without_samples_there_are_no_stages():
    assert cost_medians([]) == CostMedians()


def test_launch_bound_stages_are_named_in_a_note(samples):
    bound = [replace(each, host_bound_ms={'flow': 5.0, 'stage1': 9.0, 'communication': 9.0}) for each in samples]
    *_, note = measured_costs_table(bound, run()).notes
    assert note == 'launch-bound (share of the time in which the GPU may wait for the host): stage1 (90%)'
    assert measured_costs_table(samples, run()).notes == ['note: one note']


def test_measured_costs_come_in_the_order_of_the_run_with_their_sums(samples):
    table = measured_costs_table(samples, run())
    assert table.title == 'Medians of 3 iterations of 2 clips, float32 on a processor'
    assert [column.heading for column in table.columns] == [
        'stage',
        'forward ms',
        'recompute ms',
        'backward ms',
        'share',
    ]
    assert table.rows[:2] == (('stage1', '10.00', '', '', '25.0%'), ('flow', '10.00', '', '20.00', '75.0%'))
    assert table.footer == ('iteration 40.0 ms', '20.0', '0.0', '20.0', '100.0%')
    assert table.notes == ['note: one note']


def test_rates_are_shown_where_operations_were_counted(samples):
    # Two clips of 0.5 GMAC in 10 ms are 200 GFLOP/s, of 400 that the device can do.
    costs = {'stage1': CountedCost(gmacs=0.5, mib=1.0)}
    table = measured_costs_table(samples, run(costs=costs, rates=Rates(gmacs_per_s=200.0, gib_per_s=1000.0)))
    assert [column.heading for column in table.columns[-4:]] == ['GMAC', 'GFLOP/s', 'of roofline', 'limit']
    assert table.rows[0][-4:] == ('1.00', '200', '50%', 'compute-bound')
    assert table.rows[1][-4:] == ('', '', '', '')
    table = measured_costs_table(samples, run(costs=costs))
    assert table.rows[0][-2:] == ('1.00', '200')


def test_the_slowest_rank_is_the_one_that_computes_longest(samples):
    waiting = [sample(i, 5.0, waiting_ms=500.0) for i in range(3)]
    ranks = [cost_medians(waiting), cost_medians(samples)]
    expected = 'slowest of 2 processes: rank 1, 40.0 ms busy; fastest 35.0 ms'
    assert slowest_rank(ranks) == expected
    assert measured_costs_table(samples, run(), ranks).notes[-1] == expected
    assert len(measured_costs_table(samples, run(), ranks[:1]).notes) == 1


def test_counted_costs_end_with_their_sum_and_what_was_not_counted():
    stages = {'flow': StageCost(macs=3 * 10**9, bytes=2**20), 'stage1': StageCost(macs=10**9, parameters=1234)}
    table = counted_costs_table(Costs(stages, unknown=Counter({'aten::new': 2}), clip_shape=(5, 64, 64)))
    assert table.title == 'One clip of 5 frames of 64 x 64 pixels, forward (1 GMAC = 2 GFLOP)'
    assert table.rows[0] == ('flow', '3.000', '75.0%', '0.0', '1', '0')
    assert table.footer == ('total', '4.000', '100.0%', '0.0', '1', '1,234')
    assert table.notes == ['NOT COUNTED, so that the sums are lower bounds: new 2']
