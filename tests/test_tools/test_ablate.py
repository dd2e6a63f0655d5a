"""Ablates as users do: the tool as a process of its own, on demo clips of 32 x 32 pixels."""

import json

import pytest
from tool_processes import run_tool

VARIANTS = """
gated:
  model.fusion: {_delete_: true, type: GatedFusion}
typo:
  model.fusion: {_delete_: true, type: GatedFsion}
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory, write_small_config):
    """A folder with a config of a light network on tiny clips, and a file of variants, one of them misspelt."""
    made = tmp_path_factory.mktemp('ablation')
    write_small_config(made / 'base.py')
    (made / 'variants.yaml').write_text(VARIANTS)
    return made


@pytest.fixture(scope='module')
def ablated(folder):
    outputs = ['--json', 'record.json', '--markdown', 'table.md', '--plot', 'plot.png']
    return run_tool(
        'ablate', 'base.py', '--variants', 'variants.yaml', '--seeds', 0, '--iterations', 2, *outputs, cwd=folder
    )


def test_what_failed_is_told_and_the_others_are_compared(ablated, folder):
    assert ablated.returncode == 1
    assert "no fusion head is called 'GatedFsion'; did you mean 'GatedFusion'" in ablated.stdout
    assert ablated.stderr.strip() == 'error: 1 of 3 variants failed: typo'
    record = json.loads((folder / 'record.json').read_text())
    reference, gated, typo = record['variants']
    assert [len(each['runs']) for each in (reference, gated, typo)] == [1, 1, 0]
    assert gated['difference_db']['verdict'] == 'not informative'
    report = json.loads((folder / 'work_dirs/ablation_base/gated/seed0/report.json').read_text())
    assert gated['iteration_ms'] == report['iteration_ms_median']
    assert (folder / 'plot.png').stat().st_size > 1000
    assert 'not informative' in (folder / 'table.md').read_text()


def test_stages_and_arithmetic_are_those_of_the_instrument(ablated, folder):
    reference, gated, _ = json.loads((folder / 'record.json').read_text())['variants']
    path = folder / 'work_dirs/ablation_base/gated/seed0/stage_costs.jsonl'
    header, sample = map(json.loads, path.read_text().splitlines())
    assert gated['gmacs'] == pytest.approx(sum(cost['gmacs'] for cost in header['costs'].values()))
    assert gated['gmacs'] != reference['gmacs']
    assert gated['stage_ms'].keys() == sample['stages'].keys()
    assert sum(gated['stage_ms'].values()) == pytest.approx(sample['iteration_ms'], rel=0.01)


def test_finished_runs_are_not_trained_again(ablated, folder):
    report = folder / 'work_dirs/ablation_base/gated/seed0/report.json'
    before = report.stat().st_mtime_ns
    options = ['--variant', 'gated', 'model.fusion._delete_=True', 'model.fusion.type=GatedFusion']
    again = run_tool('ablate', 'base.py', *options, '--seeds', 0, '--iterations', 2, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert report.stat().st_mtime_ns == before


def test_other_settings_do_not_mix_with_what_the_folder_holds(ablated, folder):
    process = run_tool('ablate', 'base.py', '--variants', 'variants.yaml', '--seeds', 0, '--iterations', 3, cwd=folder)
    assert process.returncode == 1
    assert 'differs from what this ablation trains' in process.stdout


def test_without_gain_nothing_else_is_trained(ablated, folder):
    options = ['--variants', 'variants.yaml', '--seeds', 0, 1, '--iterations', 2]
    process = run_tool('ablate', 'base.py', *options, '--stop-without-gain', '--json', 'stopped.json', cwd=folder)
    assert process.returncode == 0, process.stderr
    assert 'nothing else is trained' in process.stdout
    reference, _, typo = json.loads((folder / 'stopped.json').read_text())['variants']
    assert [each['seed'] for each in reference['runs']] == [0]
    assert typo['failure'] is None
    assert 'the baseline gained' in typo['difference_db']['why']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['none.py'], 'no config file none.py'),
        (['base.py', '--variants', 'none.yaml'], 'none.yaml: No such file or directory'),
        (['base.py', '--plugin-variants', 'no_such'], "no plugin is called 'no_such'"),
        (['base.py', '--cfg-options', 'model.fusion.type=X'], "no fusion head is called 'X'"),
    ],
)
def test_wrong_input_is_one_message(folder, arguments, message):
    process = run_tool('ablate', *arguments, cwd=folder)
    assert process.returncode == 1
    assert process.stderr.startswith('error: ')
    assert message in process.stderr
    assert 'Traceback' not in process.stderr
