"""Every rule, and that a config with any of its lines is valid."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from vrtspike.analysis import build_report, read_logs
from vrtspike.analysis.advice import RULES, candidates_for, findings, lines_of
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.curves import Convergence, Quality
from vrtspike.analysis.statistics.stability import Drift, Outliers, SlowIteration
from vrtspike.analysis.statistics.throughput import RankTimes
from vrtspike.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture
def steady(make_run):
    """The report of a run in which nothing but its costly stages stands out."""
    return build_report(read_logs([make_run('run', samples=200)]))


def with_share(report: Report, stage: str, share: float) -> Report:
    cost = replace(next(iter(report.stages.values())), share=share)
    return replace(report, stages=report.stages | {stage: cost})


def with_host_bound(report: Report, share: float) -> Report:
    stages = {
        name: replace(cost, host_bound_ms=share * cost.total_ms.mean if cost.total_ms else None)
        for name, cost in report.stages.items()
    }
    return replace(report, stages=stages)


def with_stability(report: Report, **changes) -> Report:
    return replace(report, stability=replace(report.stability, **changes))


def with_psnr(report: Report, psnr: float, blurred: float) -> Report:
    scores = {
        name: Quality(last=value, last_iteration=1, best=value, best_iteration=1)
        for name, value in (('psnr', psnr), ('blur/psnr', blurred))
    }
    return replace(report, validation=scores)


RISING = Convergence(start=0.1, end=0.2, lower=0.0, trend='rising')
OUTLIERS = Outliers(above_ms=900.0, count=9, fraction=0.05, worst=[SlowIteration(3, 1000.0)])

CASES = {
    'measure': lambda r: replace(r, source_format='legacy_timing'),
    'not_finite': lambda r: with_stability(r, losses_not_finite=3, first_not_finite_iteration=7),
    'loss': lambda r: replace(r, convergence=RISING),
    'gain': lambda r: with_psnr(r, 24.0, blurred=25.0),
    'data': lambda r: with_share(r, 'data', 0.3),
    'recompute': lambda r: replace(r, phase_shares={'recompute': 0.2}),
    'stage': lambda r: r,
    'optimizer': lambda r: with_share(r, 'optimizer', 0.3),
    'communication': lambda r: with_share(r, 'communication', 0.3),
    'other': lambda r: with_share(r, 'other', 0.3),
    'launch': lambda r: with_host_bound(r, 0.9),
    'drift': lambda r: with_stability(r, drift=Drift(1.15, [1.1, 1.2], False)),
    'outliers': lambda r: with_stability(r, outliers=OUTLIERS),
    'ranks': lambda r: replace(r, ranks=RankTimes({}, 1, 1.3)),
}


@pytest.mark.parametrize('kind', CASES)
def test_rule_finds_what_it_is_for(kind, steady, tmp_path):
    report = CASES[kind](steady)
    found = [finding for finding in findings(report) if finding.kind == kind]
    assert found
    assert all(finding.title and finding.evidence and finding.advice and finding.config for finding in found)
    for finding in found:
        check_lines(finding.config, tmp_path)


def test_nothing_else_stands_out_in_a_steady_run(steady):
    assert {finding.kind for finding in findings(steady)} == {'stage'}


def test_launch_bound_stages_are_named_and_the_others_are_not(steady):
    def launch(report):
        return [finding for finding in findings(report) if finding.kind == 'launch']

    (finding,) = launch(with_host_bound(steady, 0.9))
    assert 'stage8 90%' in finding.evidence
    assert 'data' not in finding.evidence
    outside = sum(steady.stages[name].share for name in ('data', 'other') if name in steady.stages)
    assert finding.saves_at_most == pytest.approx(0.9 * (1 - outside), rel=1e-3)
    assert launch(with_host_bound(steady, 0.49)) == []


def test_every_rule_is_covered():
    assert len(RULES) == 11


@pytest.mark.parametrize('stage', ['stage1', 'stage8', 'fuse1', 'fuse2', 'fuse', 'tsa', 'spike_encoder', 'flow'])
def test_config_lines_of_every_stage_are_valid(stage, steady, tmp_path):
    found = candidates_for(steady, stage)
    assert all(candidate.note for candidate in found.values())
    lines = lines_of(found.values())
    assert lines
    check_lines(lines, tmp_path)


def test_stages_that_nobody_can_make_cheaper(steady):
    assert candidates_for(steady, 'loss') == {}


def test_advice_names_what_the_search_tries(steady):
    assert list(candidates_for(steady, 'stage3')) == ['stage3_half_depth', 'smaller_window']


def test_a_larger_batch_is_twice_that_of_the_run(steady):
    report = replace(steady, batch=replace(steady.batch, clips=4.0))
    assert lines_of([candidates_for(report)['larger_batch']]) == ['train_dataloader = dict(batch_size=8)']


def test_what_endangers_the_result_comes_before_what_costs_time(steady):
    report = CASES['not_finite'](steady)
    savings = [finding.saves_at_most for finding in findings(report)]
    assert savings[0] is None
    assert None not in savings[1:]
    assert savings[1:] == sorted(savings[1:], reverse=True)


def test_inefficient_stages_get_other_advice_than_big_ones(steady):
    by_stage = {finding.title.split()[0]: finding for finding in findings(steady)}
    assert 'inefficient' in by_stage['stage8'].evidence
    assert "model = dict(backbone=dict(compile_mode='default'))" in by_stage['stage8'].config
    assert 'it is big' in by_stage['stage1'].evidence
    assert not any('compile_mode' in line for line in by_stage['stage1'].config)


def test_half_precision_is_advised_to_those_without(steady):
    def advises_amp(precision: str) -> bool:
        report = replace(steady, run=replace(steady.run, precision=precision))
        return any('AmpOptimWrapper' in line for finding in findings(report) for line in finding.config)

    assert advises_amp('float32')
    assert not advises_amp('bfloat16')


def test_limit_is_what_the_stage_costs(steady):
    first = findings(steady)[0]
    assert first.saves_at_most == steady.stages['stage8'].share


def check_lines(lines: list[str], folder: Path) -> None:
    """Load a config that changes the baseline by each of ``lines`` in turn; an invalid key raises."""
    for i, line in enumerate(lines):
        path = folder / f'child_{i}.py'
        path.write_text(f"_base_ = '{CONFIGS / 'vrt_spike_baseline.py'}'\n{line}\n")
        load_config(path)
