import json

import pytest

from vrtspike.analysis.readers import read_logs


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
    assert log.series['loss'].last == (40, pytest.approx(1 / 40))
    assert log.series['lr'].points()[0].tolist() == list(range(1, 41))


def test_validations_belong_to_the_iteration_before_them(made_up, write_scalars):
    steps, values = read_logs([write_scalars(made_up.scalars())]).series['psnr'].points()
    assert steps.tolist() == [10, 20, 30, 40]
    assert values.tolist() == pytest.approx([28.1, 28.2, 28.3, 28.4])


def test_the_time_of_validation_is_no_cost(made_up, write_scalars):
    log = read_logs([write_scalars(made_up.scalars())])
    assert log.costs().highest('iteration_ms') == 2000
    assert log.series['val/time'].last == (40, 3.0)


def test_damage(made_up, write_scalars):
    lines = [*map(json.dumps, made_up.scalars(20)), '{"lr": 1e-4, "da', '"text"', '']
    source = read_logs([write_scalars(lines)]).sources[0]
    assert (source.records, source.damaged, source.first_damaged) == (22, 2, 23)


def test_infinite_and_missing_numbers(write_scalars):
    log = read_logs([write_scalars(['{"loss": NaN, "time": 0.5, "iter": 1, "step": 1}',
                                    '{"loss": -Infinity, "time": 0.5, "iter": 2, "step": 2}',
                                    '{"loss": 0.5, "time": 0.5, "iter": 3, "step": 3}'])])  # fmt: skip
    loss = log.series['loss']
    assert (loss.not_finite, loss.first_not_finite, loss.last) == (2, 1, (3, 0.5))
    assert log.sources[0].damaged == 0


def test_older_logs_by_epoch(write_scalars):
    lines = ['{"env_info": "first line of older logs", "seed": 0}']
    for epoch in (1, 2):
        for i in (1, 2, 3):
            lines.append(json.dumps({'mode': 'train', 'epoch': epoch, 'iter': i, 'lr': 1e-4, 'memory': 900,
                                     'time': 0.5 * epoch, 'loss': 1.0, 'step': 3 * (epoch - 1) + i}))  # fmt: skip
        lines.append(json.dumps({'mode': 'val', 'epoch': epoch, 'iter': 2, 'lr': 1e-4, 'psnr': 30.0 + epoch}))
    log = read_logs([write_scalars(lines)])
    assert log.costs().column('epoch').tolist() == [1, 1, 1, 2, 2, 2]
    assert log.costs().highest('memory_mib') == 900
    assert log.series['psnr'].last == (6, 32.0)
