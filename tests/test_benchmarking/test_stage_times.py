from vrtspike.benchmarking.stage_times import StepTimes, part_times, stage_times
from vrtspike.records.stage_costs import Owner, Sample


def sample(times: dict[Owner, float]) -> Sample:
    return Sample(iteration=1, iteration_ms=sum(times.values()), times=times, clips=1, frames=1)


SAMPLES = [
    sample(
        {
            Owner('stage1'): 1.0,
            Owner('stage1', '/mlp'): 2.0,
            Owner('stage1', '/mlp', 'backward'): 4.0,
            Owner('stage2', '/mlp'): 8.0,
        }
    ),
    sample({Owner('stage2'): 3.0}),
]


def test_stages_include_their_parts():
    assert stage_times(SAMPLES) == {
        'stage1': StepTimes([3.0, 0.0], [7.0, 0.0]),
        'stage2': StepTimes([8.0, 3.0], [8.0, 3.0]),
    }


def test_parts_are_summed_over_all_stages():
    assert part_times(SAMPLES) == {'mlp': StepTimes([10.0, 0.0], [14.0, 0.0])}
