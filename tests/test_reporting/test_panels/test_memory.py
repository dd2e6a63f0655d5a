from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.panels.memory import PANEL, sentence


def test_the_peak_and_what_leaves_most(report):
    assert sentence(report) == 'Peak 4,000 MiB, in stage8; the forward pass of stage1 leaves most, 500 MiB.'


def test_equal_peaks(made_up, tmp_path):
    lines = list(made_up.sample_lines(20))
    for line in lines:
        line['stages']['stage1']['peak_mib'] = 4000.0
    report = build_report(read_logs([made_up.write(tmp_path / 'stage_costs.jsonl', [made_up.run_line(), *lines])]))
    assert sentence(report).startswith('Peak 4,000 MiB, in 2 stages alike;')


def test_compared(make_run):
    logs = [read_logs([make_run(name)]) for name in 'ab']
    text = PANEL.compared(compare(*logs), *map(build_report, logs))
    assert text == 'The peaks of a process are 4,000 MiB and 4,000 MiB (x1.00).'
