from vrtspike.analysis import build_report, read_logs
from vrtspike.records.memory import Holding, MemoryLine, MemoryTimeline
from vrtspike.records.writer import line_of


def explained(iteration, peak_mib, rank=0):
    timeline = MemoryTimeline([0.0] * 4000, ['other'] * 4000, {'parameters': [1.0] * 4000})  # longer than a file's head
    return line_of(
        MemoryLine(
            iteration=iteration,
            rank=rank,
            device='cpu',
            peak_mib=peak_mib,
            peak_in='other',
            peak_ms=0.0,
            holdings=[Holding('parameters', peak_mib)],
            timeline=timeline,
        )
    )


def test_the_latest_iteration_of_the_process_with_the_highest_peak_is_reported(tmp_path):
    (tmp_path / 'memory.jsonl').write_text(explained(3, 900.0) + explained(6, 100.0))
    (tmp_path / 'memory_rank1.jsonl').write_text(explained(6, 200.0, rank=1))
    log = read_logs([tmp_path])
    assert [source.records for source in log.sources] == [2, 1]
    found = build_report(log).explained_memory
    assert (found.iteration, found.rank, found.peak_mib) == (6, 1, 200.0)


def test_damaged_lines_are_counted(tmp_path):
    path = tmp_path / 'memory.jsonl'
    path.write_text(explained(3, 900.0) + explained(6, 100.0)[:500] + '\n\n' + explained(9, 50.0))
    log = read_logs([path])
    (source,) = log.sources
    assert (source.lines, source.records, source.damaged, source.first_damaged) == (4, 2, 1, 2)
    assert [line.iteration for line in log.memory] == [3, 9]
