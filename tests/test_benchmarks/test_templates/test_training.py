"""docs/training.md from records of recipes."""

import json

import pytest

WHERE = dict(device={'type': 'cpu', 'name': 'a processor', 'threads': 1}, versions={'torch': '2'}, commit='0' * 40)


def recipe(before, after):
    def runs(values):
        return [{'seed': i, 'psnr_db': value, 'gain_db': 1.0, 'run_s': 10.0} for i, value in enumerate(values)]

    settings = {'config': 'configs/x.py', 'iterations': 300}
    return dict(recipe='distillation', settings=settings, runs={'alone': runs(before), 'taught': runs(after)}, **WHERE)


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'benchmarks/records/training').mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ('after', 'said'),
    [
        ([27.5, 27.6, 27.55], 'It helps.'),
        ([26.5, 26.6, 26.55], 'It costs quality.'),
        ([26.5, 27.6, 27.0], 'Undecided: the interval contains zero.'),
    ],
)
def test_the_verdict_follows_from_the_interval(root, render, after, said):
    record = recipe([27.0, 27.1, 27.05], after)
    (root / 'benchmarks/records/training/distillation.json').write_text(json.dumps(record))
    text = render('docs/training.md', root)
    assert said in text
    assert f'| 0 | 27.00 (10) | {after[0]:.2f} (10) | {after[0] - 27:+.2f} |' in text


def test_memory_of_the_second_half(root, render):
    readings = [{'iteration': i, 'host_mib': 900.0 if i < 2 else 1000.0 + i} for i in range(4)]
    growth = {'host': 1.5}
    record = dict(config='x', iterations=4, growth_mib_per_1000_iterations=growth, readings=readings, **WHERE)
    (root / 'benchmarks/records/training/memory.json').write_text(json.dumps(record))
    text = render('docs/training.md', root)
    assert '1,002 to 1,003 MiB resident in the second half, a slope of +1.5 MiB (host)' in text


def test_recipes_without_sharp_frames_are_compared_with_sdm(root, render):
    for name, psnr in (('resimulate', 28.5), ('reblur', 27.75), ('residual_cnn', 29.0)):
        mean = {'blur_psnr_db': 25.0, 'sdm_psnr_db': 28.0, 'psnr_db': psnr}
        record = dict(iterations=200, validation={'mean': mean}, **WHERE)
        (root / f'benchmarks/records/training/{name}.json').write_text(json.dumps(record))
    text = render('docs/training.md', root)
    command = '`configs/{}.py --cfg-options train_cfg.max_iters=200`'
    assert f'| {command.format("recipes/resimulate")} | 200 | 25.00 | 28.00 | 28.50 | +0.50 |' in text
    assert f'| {command.format("recipes/reblur")} | 200 | 25.00 | 28.00 | 27.75 | -0.25 |' in text
    assert f'| {command.format("residual_cnn")} | 200 | 25.00 | 28.00 | 29.00 | +1.00 |' in text


def test_without_a_record_it_says_so(root, render):
    assert 'No record yet.' in render('docs/training.md', root)
