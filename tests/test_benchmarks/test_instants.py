"""The record of training at random instants, and how it is made from the reports of two trainings."""

import json
from pathlib import Path

import pytest

from benchmarks.instants import scores_at_instants, summary

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / 'benchmarks/records/training/instants.json').read_text(encoding='utf-8'))


def row(clip, psnr_db):
    return {'clip': clip, 'psnr_db': psnr_db, 'sdm_psnr_db': 20.0, 'blur_psnr_db': 10.0}


def test_scores_are_means_over_clips_by_instant():
    clips = [row('b@x/0@1', 30.0), row('a/0@0.5', 31.0), row('c/0@1', 32.0)]
    middle, end = scores_at_instants({'validation': {'clips': clips}})
    assert (middle['instant'], middle['psnr_db']) == (0.5, 31.0)
    assert (end['instant'], end['psnr_db']) == (1.0, 31.0)


def test_the_summary_is_that_of_the_recorded_scores():
    assert summary({name: each['instants'] for name, each in RECORD['trainings'].items()}) == RECORD['summary']
    assert RECORD['summary']['loss_in_the_middle_db'] == pytest.approx(0.16, abs=0.01)
