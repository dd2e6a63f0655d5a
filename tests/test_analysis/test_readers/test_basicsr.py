import pytest

from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.report import build_report
from vrtspike.analysis.statistics import curves

KAIR = """
22-05-14 12:00:00.000 :   task: made_up
22-05-14 12:00:00.000 : <epoch:  0, iter:     200, lr:4.000e-04> G_loss: 4.0e-02
22-05-14 12:10:00.000 : <epoch:  0, iter:     400, lr:3.000e-04> G_loss: 3.0e-02
22-05-14 12:12:00.000 : testing ... 000 (1/11)
22-05-14 12:15:00.000 : <epoch:  0, iter:     400, Average PSNR : 30.50dB, Average SSIM: 0.9012
22-05-14 12:25:00.000 : <epoch:  1, iter:     600, lr:2.000e-04> G_loss: 2.5e-02
22-05-14 12:45:00.000 : <epoch:  1, iter:   1,000, lr:1.000e-04> G_loss: 2.0e-02
"""
BASICSR = """
2025-02-12 09:47:06,338 INFO: [Made_..][epoch:  0, iter:     100, lr:(2.000e-04,)] [eta: 1 day, 19:29:20, time (data): 0.500 (0.125)] l_pix: 2.0e-02
2025-02-12 09:48:06,338 INFO: [Made_..][epoch:  0, iter:     200, lr:(2.000e-04,)] [eta: 19:29:20, time (data): 0.250 (0.025)] l_pix: nan
2025-02-12 09:48:07,000 INFO: Validation REDS4
\t # psnr: 28.5000\tBest: 28.5000 @ 200 iter
\t # ssim: 0.8100\tBest: 0.8100 @ 200 iter
"""  # noqa: E501 - as such logs have them


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / 'train.log').write_text(text)
        return read_logs([tmp_path / 'train.log'])

    return read


def points(log, name):
    iterations, values = curves.curve(log, name)
    return dict(zip(iterations.astype(int).tolist(), values.tolist(), strict=True))


def test_kair(read):
    log = read(KAIR)
    assert log.formats == ['basicsr']
    assert points(log, 'loss') == pytest.approx({200: 0.04, 400: 0.03, 600: 0.025, 1000: 0.02})
    assert points(log, 'psnr') == {400: 30.5}
    assert points(log, 'ssim') == {400: 0.9012}
    assert points(log, 'lr')[1000] == 1e-4


def test_times_come_from_time_stamps_without_a_validation_in_between(read):
    """600 s for 200 iterations, and 1,200 s for 400."""
    assert points(read(KAIR), 'iteration_ms') == {400: 3000.0, 1000: 3000.0}


def test_basicsr(read):
    log = read(BASICSR)
    assert points(log, 'iteration_ms') == {100: 500.0, 200: 250.0}
    assert points(log, 'data_ms') == {100: 125.0, 200: 25.0}
    assert points(log, 'psnr') == {200: 28.5}
    assert points(log, 'ssim') == {200: 0.81}
    assert any("BasicSR's 'time (data)' is a mean" in text for text in build_report(log).warnings)


def test_parts_with_units_are_milliseconds(read):
    text = (
        '26-01-01 00:00:00.000 : <epoch: 0, iter: 10, lr:1.0e-04> eta: 1:02:03 loss: 3.0e-01 forward: 1.5s data: 20ms'
    )
    log = read(text)
    assert points(log, 'loss') == {10: 0.3}
    assert points(log, 'forward_ms') == {10: 1500.0}
    assert points(log, 'data_ms') == {10: 20.0}


def test_a_training_that_began_again_is_another_start(read):
    log = read(KAIR + KAIR)
    assert len(log.left_out) == 1
    assert len(points(log, 'loss')) == 4


def test_a_resumed_training_continues(read):
    again = KAIR[KAIR.index('22-05-14 12:25') :]
    log = read(KAIR + again)
    assert not log.left_out
    assert sorted(points(log, 'loss')) == [200, 400, 600, 1000]


def test_damaged_logs(tmp_path, fuzz_reader):
    (tmp_path / 'kair.log').write_text(KAIR)
    (tmp_path / 'basicsr.log').write_text(BASICSR)
    fuzz_reader(lambda path: build_report(read_logs([path])))


def test_an_iteration_that_no_counter_reaches_is_left_out(read):
    log = read(KAIR + KAIR[-75:].replace('1,000', '9' * 30))
    assert max(points(log, 'loss')) == 1000


@pytest.mark.parametrize('stamp', ['22-13-45 99:00:00.000', 'no time', ''])
def test_a_time_stamp_that_does_not_exist_gives_no_times(read, stamp):
    log = read(KAIR.replace('22-05-14 12:10:00.000', stamp))
    assert 400 not in points(log, 'iteration_ms')
    assert len(points(log, 'loss')) == 4
