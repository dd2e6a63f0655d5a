import msgspec
import pytest

from vrtspike.records.evaluation import EvaluationResults, FrameGain, RestoringCost, StageMedians, ThresholdScore
from vrtspike.reporting.evaluation_tables import (
    cost_table,
    results_text,
    scores_table,
    stages_table,
    worst_frames_table,
)

SCORES = {'blur_psnr_db': 25.0, 'psnr_db': 30.0, 'gain_db': 5.0}


@pytest.fixture
def results():
    return EvaluationResults(
        config='configs/x.py',
        checkpoint='run/iter_3.pth',
        checkpoint_sha256='ab' * 32,
        tiling={},
        mean_of_clips=SCORES,
        mean_of_frames=SCORES | {'psnr_db': 29.0},
        clips=[{'clip': name, 'frames': 2, **SCORES} for name in 'abc'],
        worst_frames=[FrameGain(clip='a', frame='007', psnr_db=24.0, blur_psnr_db=25.0, gain_db=-1.0)] * 10,
        thresholds=[ThresholdScore(1.0, 30.0, 0.0), ThresholdScore(2.0, 29.5, 0.5)],
        cost=RestoringCost(parameters=1234567, restore_ms_per_frame=12.3, peak_memory_mib=None),
        training={'iterations': 700},
        training_stages=[],
        versions={'torch': '2.13.0'},
        device={'type': 'cpu', 'name': 'a processor'},
        commit=None,
    )


def test_scores_have_a_row_for_each_clip_and_both_means(results):
    table = scores_table(results)
    assert [column.heading for column in table.columns] == ['clip', 'blurred dB', 'restored dB', 'gain dB']
    assert table.rows[0] == ('a', '25.00', '30.00', '+5.00')
    assert table.rows[-1] == ('mean over frames', '25.00', '29.00', '+5.00')
    assert table.footer == ('mean of clip means', '25.00', '30.00', '+5.00')


def test_many_clips_are_counted_instead_of_listed(results):
    assert [row[0] for row in scores_table(results, max_clips=1).rows] == ['a', 'and 2 more', 'mean over frames']


def test_few_of_the_worst_frames_are_shown(results):
    assert worst_frames_table(results).rows == (('a/007', '25.00', '24.00', '-1.00'),) * 5


def test_unknown_costs_are_left_out(results):
    rows = dict(cost_table(results).rows)
    assert rows['parameters'] == '1,234,567'
    assert rows['training'] == '700 iterations'
    assert rows['PSNR at 2 times the threshold'] == '29.50 dB (-0.50)'
    assert 'peak memory of the test' not in rows
    assert 'training time' not in rows


def test_phases_that_took_no_time_have_no_column(results):
    stage = StageMedians(stage='flow', forward_ms=58.0, recompute_ms=0.0, backward_ms=0.0, share=0.4)
    table = stages_table(msgspec.structs.replace(results, training_stages=[stage]))
    assert [column.heading for column in table.columns] == ['stage', 'forward ms', 'share']
    assert table.rows == (('flow', '58.00', '40.0%'),)
    assert stages_table(results) is None


def test_text_shows_thresholds_only_where_there_are_several(results):
    assert 'Threshold of the spike camera' in results_text(results)
    first = msgspec.structs.replace(results, thresholds=results.thresholds[:1])
    assert 'Threshold of the spike camera' not in results_text(first)
