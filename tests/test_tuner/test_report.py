"""The report: every number of what was found, in both languages, in one page without anything from elsewhere."""

import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from jinja2 import nodes

from vrtspike.experiments.statistics import Difference
from vrtspike.reporting.pages import environment
from vrtspike.tuner.commands import commands, options
from vrtspike.tuner.pareto import Point, points_of
from vrtspike.tuner.record import from_json, to_json
from vrtspike.tuner.report import markdown, page, verdict_of, write_reports

ROOT = Path(__file__).parents[2]


def section(text, heading):
    return text.partition(f'## {heading}\n')[2].partition('\n## ')[0]


def test_the_summary_says_what_costs_most_and_what_was_won(found):
    text = section(markdown(found, 'en'), 'Summary')
    assert 'The costliest stage is fuse1: 60.0% of the iteration.' in text
    best = found.best.result
    assert f'takes {best.ms_per_sample:.1f} ms per sample, the default 100.0 ms: +77% saved' in text
    assert 'Everything that was kept, together: -0.08 dB [-0.18, +0.02]' in text
    assert 'promised 50 to 70 % off the iteration; 70 %: reached (77%).' in text
    # The published path takes 1.25 times as long, so that the default saves a fifth of it.
    assert '(plain operators, float32) takes 125.0 ms per sample; the default saves +20% of that (+19% to +21%' in text


def test_restoring_has_shares_and_commands_of_its_own(found):
    found.objective = 'infer'
    text = markdown(found, 'en')
    assert 'The costliest stage is fuse1: 60.0% of restoring.' in text
    assert 'its stages take 0.4% of restoring' in text
    assert '| stage | share of restoring |' in text
    assert 'promised' not in text
    assert f'rm {found.folder}/trials/chunks.json && python tools/optimize.py configs/planted.py' in text
    assert 'tools/benchmark.py' not in text
    assert 'python tools/test.py planted_optimized.py CHECKPOINT' in text
    assert 'tools/train.py planted_optimized.py' in text  # another network was taken
    found.steps = found.steps[:1]
    assert 'tools/train.py' not in markdown(found, 'en')


def test_what_waited_for_data_is_not_compared_with_the_step_of_the_published_path(found, change):
    workers = {'train_dataloader.num_workers': 2}
    found.trials.append(change(found.trials[0], name='data_workers_2', overrides=workers))
    text = markdown(found, 'en')
    assert re.search(r'\| data_workers_2 .* \| \+25\.0% \|  \| ', text)
    assert f'rm {found.folder}/trials/data_workers_2.json && python tools/optimize.py' in text


def test_how_near_the_promise_came_is_said(found):
    found.steps = found.steps[:1]
    assert 'not reached; the closest is 50%' in markdown(found, 'en')


def test_every_candidate_has_its_row_or_its_reason(found):
    text = markdown(found, 'en')
    rows = section(text, 'Candidates, each alone')
    assert re.search(
        r'\| chunks \| same function \| 50\.0 \(100\.0\) \| \+50\.0% .* \| \+25\.0% \| \+60\.0% .* \| 0 \| taken \|',
        rows,
    )
    assert '| -0.05 dB [-0.15, +0.05] | taken |' in rows
    assert re.search(r'\| slower .* \| slower \|', rows)
    assert section(text, 'What saved nothing, or not in every round').count('- ') == 2
    untried = section(text, 'What was not tried')
    assert '- cuda_graphs: CUDA graphs need a GPU.' in untried
    assert '- no_tsa: its stages take 0.4% of the iteration.' in untried
    assert '- flow: failed: a | b.' in untried
    assert '| shallow | yes | +76.9% | 1.10 |' in section(text, 'Together')


@pytest.mark.parametrize(
    ('changed', 'verdict'),
    [
        (dict(name='other', interval=(-0.1, 0.5)), 'unsure'),
        (dict(name='other', saving=0.01, interval=(-0.1, 0.5)), 'nothing'),
        (dict(name='other', saving=-0.1, interval=(-0.2, -0.01)), 'slower'),
        (dict(name='other', difference_db=None), 'unknown_db'),
        (dict(name='other', peak_memory_mib=5000), 'too_large'),
        (dict(name='other', kind='precision', difference_db=None), 'saves'),
        (
            dict(
                name='other', kind='precision', difference_db=Difference(mean=-2.0, verdict='worse', seeds=[], why='')
            ),
            'too_lossy',
        ),
        (dict(name='shallow'), 'taken'),
    ],
)
def test_verdicts(found, change, changed, verdict):
    trial = next(trial for trial in found.trials if trial.name == 'shallow')
    found.memory_gib = 4
    assert verdict_of(change(trial, **changed), found) == verdict


def test_a_known_loss_is_not_an_unknown_one(found, change, difference):
    trial = change(found.trials[4], name='other')
    assert verdict_of(change(trial, difference_db=difference(-2.0)), found) == 'too_lossy'
    assert verdict_of(change(trial, difference_db=difference(-2.0, informative=False)), found) == 'unknown_db'


def test_unknown_quality_is_said_and_has_no_number(found, difference):
    found.quality, found.why_unknown, found.together_db = None, 'no_time', None
    text = markdown(found, 'en')
    assert 'Quality was not measured: there was no time' in text
    assert 'Quality is in range: ? (not measured; may lose 0.3 dB).' in text
    found.why_unknown, found.failures = 'no_reference', {'reference': 'seed 0: no memory'}
    assert 'Quality was not measured: the training of the default failed: seed 0: no memory' in markdown(found, 'en')
    found.together_db = difference(-3.0, informative=False)
    assert 'Quality is in range: ? (not informative' in markdown(found, 'en')


@pytest.mark.parametrize(
    ('mean', 'answer'), [(-0.1, 'yes'), (-0.25, 'on average, but not over the whole interval'), (-0.5, 'no')]
)
def test_quality_is_kept_with_its_whole_interval(found, difference, mean, answer):
    found.together_db = difference(mean)  # +- 0.1
    assert f'Quality is in range: {answer} (' in markdown(found, 'en')


def test_a_default_that_needs_too_much_memory_is_said(found):
    found.memory_gib = 0.25
    assert 'The default needs 500 MiB, more than the 0.25 GiB that are allowed; the optimised' in markdown(found, 'en')
    found.steps = []
    assert 'and no candidate that fits can be taken' in markdown(found, 'en')


def test_both_languages_say_the_same_numbers(found):
    english, chinese = markdown(found, 'en'), markdown(found, 'zh')
    assert len(re.findall(r'^## ', english, re.M)) == len(re.findall(r'^## ', chinese, re.M))
    numbers = [sorted(re.findall(r'\d+\.\d+', text)) for text in (english, chinese)]
    assert numbers[0] == numbers[1]
    assert '没有效果或效果不确定的措施' in chinese
    assert 'Summary' not in chinese


def test_texts_take_the_same_values_in_both_languages():
    templates = environment()
    source = templates.loader.get_source(templates, 'search_report.md')[0]
    calls = [call for call in templates.parse(source).find_all(nodes.Call) if getattr(call.node, 'name', '') == 'say']
    assert len(calls) > 80
    for call in calls:
        english, chinese = (text.value for text in call.args[:2])
        plain = [re.sub(r'{(\d?)[^}]*}', r'{\1}', text) for text in (english, chinese)]
        taken = [set(re.findall('<.>', text.format(*(f'<{i}>' for i in range(9))))) for text in plain]
        assert taken[0] == taken[1], english


def test_the_page_needs_nothing_else(found):
    text = page(found)
    assert not re.search(r'(src|href)="(?!#)', text)
    assert '<script' not in text
    assert 'a &lt;quick&gt; processor' in text
    assert text.count('<svg') == 2
    assert '<h2>Checklist</h2>' in text
    assert '<h2>检查清单</h2>' in text


def test_points_are_relative_to_one_default(found):
    by_name = {point.name: point for point in points_of(found)}
    assert by_name['default'] == Point(name='default', label='default', ms=100.0, mib=500.0, db=0.0, sure=True)
    assert (by_name['chunks'].label, by_name['chunks+amp+shallow'].label) == ('chunks', '+ shallow')
    assert by_name['chunks'].db == 0.0
    assert by_name['amp'].db is None
    assert by_name['shallow'].db == -0.05
    assert by_name['chunks+amp+shallow'].db == -0.08
    assert by_name['chunks+amp'].db is None
    assert [name for name, point in by_name.items() if not point.sure] == ['idle']


def test_what_was_taken_with_others_is_not_said_to_do_nothing(found, change):
    shallow = change(found.trials[4], saving=0.01, interval=(-0.1, 0.1))
    found.trials = [shallow if trial.name == 'shallow' else trial for trial in found.trials]
    text = section(markdown(found, 'en'), 'What saved nothing, or not in every round')
    assert '- idle' in text
    assert 'shallow' not in text


def test_what_lost_too_much_with_others_is_told_so(found):
    for step in found.steps:
        step.kept = step.added != 'shallow'
    found.steps[-1].difference_db = Difference(mean=-2.0, low=-2.5, high=-1.5, verdict='worse', seeds=[], why='')
    report = markdown(found, 'en')
    assert re.search(r'\| shallow \| .* loses too much with what was kept \|', report)
    assert re.search(r'\| shallow \| no \| .* -2.00 dB \[-2.50, -1.50\] \|', report)


def test_files(found, tmp_path):
    write_reports(found, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {'report.md', 'report.zh-CN.md', 'report.html', 'report.json', 'pareto.svg'}
    assert from_json(json.loads((tmp_path / 'report.json').read_text())) == found
    assert ET.parse(tmp_path / 'pareto.svg').getroot().tag.endswith('svg')
    assert '![](pareto.svg)' in (tmp_path / 'report.md').read_text()


def test_json_is_one_flat_object_for_each_trial_and_step(found):
    record = to_json(found)
    by_name = {trial['name']: trial for trial in record['trials']}
    assert {'name', 'kind', 'overrides', 'saving', 'interval', 'most', 'difference_db'} <= by_name['chunks'].keys()
    assert by_name['no_tsa'].keys() == {'name', 'kind', 'overrides', 'skipped', 'most', 'difference_db'}
    assert by_name['flow']['failure'] == 'a | b'
    step = record['steps'][-1]
    assert (step['name'], step['added'], step['kept']) == ('chunks+amp+shallow', 'shallow', True)
    assert {'saving', 'parts', 'replaces', 'interaction', 'kind'} <= step.keys()
    assert (record['common'], record['no_quality']) == (found.shared_overrides, '')


def test_a_record_becomes_the_same_json_again():
    record = json.loads((ROOT / 'benchmarks/records/optimize/tiny.json').read_text(encoding='utf-8'))
    assert json.loads(json.dumps(to_json(from_json(record)))) == record


def test_each_row_has_its_command(found):
    lines = commands(found).splitlines()
    assert lines[0] == 'python tools/optimize.py configs/planted.py'
    benchmark = next(line for line in lines if 'trials/chunks.py' in line)
    assert benchmark.startswith('python tools/benchmark.py configs/planted.py')
    assert (
        "--shape 1 5 32 32 --cfg-options data.type=DemoClips 'data.side=[1,2]' --plugins fusion_strength" in benchmark
    )
    assert any('trials/chunks+amp+shallow.py' in line for line in lines)
    ablation = shlex.split(next(line for line in lines if 'ablate' in line))
    assert ablation[3:6] == ['--variant', 'shallow', 'model.backbone.depths=[1,1]']
    assert ablation[6:12] == ['--seeds', '0', '1', '2', '--iterations', '9']
    assert '--no-cpu-overrides' not in ablation
    found.full_length = True
    in_full = next(line for line in commands(found).splitlines() if 'ablate' in line)
    assert '--no-cpu-overrides' in in_full


def test_options_reach_into_dicts():
    assert options({'a': {'_delete_': True, 'type': 'B'}, 'c': None}) == ['a._delete_=True', 'a.type=B', 'c=None']
