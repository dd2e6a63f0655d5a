import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.readers import mmengine_json, read_logs
from vrtspike.analysis.statistics.curves import curve, names, quality


@pytest.fixture
def write_scalars(tmp_path):
    def write(lines, name='scalars.json'):
        path = tmp_path / name
        path.write_text('\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


def test_training_and_validation(made_up, write_scalars):
    log = read_logs([write_scalars(made_up.scalars())])
    assert log.cost_format == 'mmengine'
    assert log.sources[0].records == 44
    costs = log.costs()
    assert costs.rows == 40
    assert costs.column('iteration_ms')[0] == 2000
    assert costs.mean('stages/data/total_ms') == pytest.approx(10)
    assert log.series['loss'].summary.last == (40, pytest.approx(1 / 40))
    assert log.series['lr'].points()[0].tolist() == list(range(1, 41))


def test_validations_belong_to_the_iteration_before_them(made_up, write_scalars):
    steps, values = read_logs([write_scalars(made_up.scalars())]).series['psnr'].points()
    assert steps.tolist() == [10, 20, 30, 40]
    assert values.tolist() == pytest.approx([28.1, 28.2, 28.3, 28.4])


def test_the_time_of_validation_is_no_cost(made_up, write_scalars):
    log = read_logs([write_scalars(made_up.scalars())])
    assert log.costs().highest('iteration_ms') == 2000
    assert log.series['val/time'].summary.last == (40, 3.0)


def test_damage(made_up, write_scalars):
    lines = [*map(json.dumps, made_up.scalars(20)), '{"lr": 1e-4, "da', '"text"', '']
    source = read_logs([write_scalars(lines)]).sources[0]
    assert (source.records, source.damaged, source.first_damaged) == (22, 2, 23)


def test_infinite_and_missing_numbers(write_scalars):
    lines = [
        '{"loss": NaN, "time": 0.5, "iter": 1, "step": 1}',
        '{"loss": -Infinity, "time": 0.5, "iter": 2, "step": 2}',
        '{"loss": 0.5, "time": 0.5, "iter": 3, "step": 3}',
    ]
    log = read_logs([write_scalars(lines)])
    loss = log.series['loss']
    assert (loss.summary.not_finite, loss.summary.first_not_finite, loss.summary.last) == (2, 1, (3, 0.5))
    assert log.sources[0].damaged == 0


def test_older_logs_by_epoch(write_scalars):
    lines = ['{"env_info": "first line of older logs", "seed": 0}']
    for epoch in (1, 2):
        for i in (1, 2, 3):
            values = {'time': 0.5 * epoch, 'loss': 1.0, 'lr': 1e-4, 'memory': 900}
            lines.append(
                json.dumps({'mode': 'train', 'epoch': epoch, 'iter': i, 'step': 3 * (epoch - 1) + i, **values})
            )
        lines.append(json.dumps({'mode': 'val', 'epoch': epoch, 'iter': 2, 'lr': 1e-4, 'psnr': 30.0 + epoch}))
    log = read_logs([write_scalars(lines)])
    assert log.costs().column('epoch').tolist() == [1, 1, 1, 2, 2, 2]
    assert log.costs().highest('memory_mib') == 900
    assert log.series['psnr'].summary.last == (6, 32.0)


def test_iterations_of_mmcv_1_go_on_after_an_epoch(write_scalars):
    lines = [
        {'mode': 'train', 'epoch': epoch, 'iter': i, 'lr': 0.02, 'time': 0.4, 'loss': 1.0}
        for epoch in (1, 2, 3)
        for i in (50, 100)
    ]
    log = read_logs([write_scalars(lines)])
    assert log.costs().column('iteration').tolist() == [50, 100, 150, 200, 250, 300]
    assert log.left_out == {}


def test_several_optimizers_and_data_sets_of_mmagic(write_scalars):
    lines = [
        {'generator.lr': 1e-4, 'discriminator.lr': 1e-5, 'loss_gan': 0.1, 'time': 0.4, 'iter': 100, 'step': 100},
        {'REDS4/PSNR': 25.0, 'Vid4/PSNR': 24.0, 'REDS4/SSIM': 0.8, 'data_time': 0.1, 'time': 0.5, 'step': 100},
    ]
    log = read_logs([write_scalars(lines)])
    assert log.costs().rows == 1
    found = quality(log)
    assert list(found) == ['ssim', 'REDS4/PSNR', 'Vid4/PSNR']  # two data sets: neither is our psnr
    assert (found['Vid4/PSNR'].last, found['ssim'].last_iteration) == (24.0, 100)
    assert curve(log, 'loss')[1].tolist() == [0.1]
    assert not {'lr'} & set(names(log))


def test_learning_rates_in_a_dict(write_scalars):
    line = {'mode': 'train', 'iter': 1, 'lr': {'generator': 1e-4}, 'time': 0.5, 'loss_pix': 2}
    log = read_logs([write_scalars([line])])
    assert curve(log, 'lr')[1].tolist() == [1e-4]
    assert curve(log, 'loss')[1].tolist() == [2.0]


def test_validations_of_detectors(write_scalars):
    lines = [
        {'lr': 0.02, 'loss': 1.0, 'time': 0.4, 'epoch': 1, 'iter': 250, 'memory': 4000, 'step': 250},
        {'coco/bbox_mAP': 0.2, 'loss': 3.0, 'data_time': 0.02, 'time': 0.05, 'step': 1},
    ]
    log = read_logs([write_scalars(lines)])
    assert list(quality(log)) == ['coco/bbox_mAP']
    assert log.series['loss'].summary.last == (250, 1.0)
    assert log.series['val/loss'].summary.last == (250, 3.0)


def test_the_results_of_a_test_have_no_step(write_scalars):
    log = read_logs([write_scalars([{'psnr': 30.0, 'data_time': 0.1, 'time': 0.2}])])
    assert quality(log)['psnr'].last == 30.0


@pytest.mark.parametrize('seconds', [-3599.6, 1e9])
def test_a_clock_that_was_set_gives_no_time(seconds, write_scalars):
    lines = [{'loss': 1.0, 'time': seconds if i == 3 else 0.5, 'iter': i, 'step': i} for i in range(1, 6)]
    log = read_logs([write_scalars(lines)])
    assert log.costs().column('iteration_ms').tolist() == [500] * 4
    assert (log.sources[0].damaged, log.sources[0].first_damaged) == (1, 3)


@pytest.mark.parametrize(
    'line',
    ['{"step": 1, "a": ' + '[' * 100_000, '{"step": NaN, "loss": 1}', '{"iter": 1e300, "loss": 1}', '\x00', '7' * 5000],
    ids=['deep', 'NaN', 'huge step', 'binary', 'digits'],
)
def test_lines_of_strangers_are_left_out(line, write_scalars):
    log = read_logs([write_scalars([{'loss': 1.0, 'time': 0.5, 'iter': 1, 'step': 1}, line])])
    assert log.costs().rows == 1


RECORDS = st.from_regex(rb'\{"(step|iter|time|loss|lr)": ?[-0-9eE.NaIinfty"]+\}')


@given(st.lists(st.binary(max_size=40) | RECORDS, max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_left_out(lines):
    log = RunLog('fuzz')
    mmengine_json.read(lines, Source('fuzz'), log)
    log.seal()
    assert log.costs().rows <= len(lines) if log.cost_format else True
