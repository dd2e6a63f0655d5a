"""MFU and HFU of a run with known times: 100 ms an iteration, 20 of them in a stage of 1 GMAC a clip."""

import pytest
from made_up_logs import run_line, write

from vrtspike.analysis import build_report, read_logs
from vrtspike.reporting.analysis_tables import utilisation_table
from vrtspike.reporting.report_summary import summary

RATES = {'gmacs_per_s': 1000.0, 'gib_per_s': 100.0}
NOMINAL = {'gmacs_per_s': 4000.0, 'precision': 'bfloat16', 'source': 'https://example.org'}
STAGES = {'body': {'forward_ms': 5.0, 'recompute_ms': 3.0, 'backward_ms': 12.0}, 'other': {'forward_ms': 80.0}}


def sample(iteration, **utilisation):
    line = dict(kind='sample', iteration=iteration, rank=0, iteration_ms=100.0, clips=2, frames=10, stages=STAGES)
    return line | utilisation


def report_of(tmp_path, samples, recomputed=0.5, **run):
    cost = {'gmacs': 1.0} | ({} if recomputed is None else {'recomputed_gmacs': recomputed})
    line = run_line(costs={'body': cost}, rates=RATES, stages=list(STAGES), **run)
    return build_report(read_logs([write(tmp_path / 'stage_costs.jsonl', [line, *samples])]))


def test_iterations_and_stages(tmp_path):
    samples = [sample(i, mfu=0.06, hfu=0.07, utilisation={'body': {'mfu': 0.3, 'hfu': 0.35}}) for i in range(1, 4)]
    used = report_of(tmp_path, samples, nominal=NOMINAL).utilisation
    assert (used.mfu.median, used.mfu.count, used.hfu.mean) == (0.06, 3, pytest.approx(0.07))
    assert used.nominal_mfu == pytest.approx(0.06 / 4)
    assert used.stages.keys() == {'body'}
    assert used.stages['body'].mfu == pytest.approx(3 * 2 / 20)
    assert used.stages['body'].hfu == pytest.approx(3.5 * 2 / 20)


def test_what_is_not_known_is_absent(tmp_path):
    used = report_of(tmp_path, [sample(1, mfu=0.06)], recomputed=None).utilisation
    assert (used.hfu, used.nominal_mfu) == (None, None)
    assert used.stages['body'].hfu is None


def test_clips_of_other_shapes_leave_no_means_by_stage(tmp_path):
    used = report_of(tmp_path, [sample(1, mfu=0.06), sample(2)]).utilisation
    assert (used.mfu.count, used.stages) == (1, {})


def test_older_files_have_none(tmp_path):
    report = report_of(tmp_path, [sample(1), sample(2)])
    assert (report.utilisation, report.explained_memory) == (None, None)


def test_the_summary_and_the_table_say_it(tmp_path):
    report = report_of(tmp_path, [sample(1, mfu=0.06, hfu=0.07)], nominal=NOMINAL)
    text = 'MFU 6.0%, HFU 7.0% of the measured peak (medians); MFU 1.5% of the stated peak'
    assert ('utilisation', text) in summary(report)
    assert list(map(list, utilisation_table(report).rows)) == [['body', '30.0%', '35.0%']]
