from vrtspike.records.memory import Holding, MemoryLine, MemoryTimeline
from vrtspike.reporting.memory_tables import memory_table


def test_the_largest_come_first_and_the_small_ones_are_summed():
    holdings = [
        Holding('parameters', 100.0),
        Holding('saved', 300.0, 'stage1'),
        Holding('saved', 4.0, 'stage2'),
        Holding('temporary', 595.0, 'stage1'),
        Holding('unseen', 1.0),
    ]
    line = MemoryLine(
        iteration=6,
        rank=0,
        device='cuda:0',
        peak_mib=1000.0,
        peak_in='stage1 backward',
        peak_ms=1.0,
        holdings=holdings,
        timeline=MemoryTimeline([], [], {}),
    )
    table = memory_table(line)
    assert table.title == 'Memory at the peak of iteration 6, in stage1 backward, on cuda:0'
    assert list(map(list, table.rows)) == [
        ['other tensors', 'stage1', '595.0', '59.5%'],
        ['saved activations', 'stage1', '300.0', '30.0%'],
        ['parameters and buffers', '', '100.0', '10.0%'],
        ['2 with less than 0.5% each', '', '5.0', '0.5%'],
    ]
    assert list(table.footer) == ['peak', '', '1,000.0', '100.0%']
    assert list(table.notes) == ['saved activations of all stages: 304.0 MiB, 30.4% of the peak']
