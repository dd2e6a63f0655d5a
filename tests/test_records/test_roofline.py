from vrtspike.records.roofline import LeastTime, Work, batch_work, least_time
from vrtspike.records.stage_costs import CountedCost, Rates


def test_the_slower_of_both_is_the_bound():
    rates = Rates(gmacs_per_s=100, gib_per_s=10)
    assert least_time(Work(2.0, 0.0), rates) == LeastTime(20.0, 0.0)
    assert (LeastTime(20.0, 0.0).ms, LeastTime(20.0, 0.0).bound) == (20.0, 'compute')
    assert least_time(Work(1.0, 1024.0), rates) == LeastTime(10.0, 100.0)
    assert (LeastTime(10.0, 100.0).ms, LeastTime(10.0, 100.0).bound) == (100.0, 'memory')


def test_values_of_16_bits_move_half_the_memory():
    cost = CountedCost(gmacs=2.0, mib=10.0)
    assert batch_work(cost, 3, 'float32') == Work(6.0, 30.0)
    assert batch_work(cost, 3, 'bfloat16') == batch_work(cost, 3, 'float16') == Work(6.0, 15.0)


def test_intensity():
    assert Work(1.0, 1e9 / 2**20).macs_per_byte == 1.0
    assert Work(1.0, 0.0).macs_per_byte is None
