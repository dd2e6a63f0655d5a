"""What MMEngine's own logger says of an iteration-based run, given the settings that our configs use."""

import re


def test_every_iteration_logs_loss_time_and_time_left(make_runner, log_of):
    runner = make_runner(3)
    runner.train()
    lines = [line for line in log_of(runner).splitlines() if 'Iter(train)' in line]
    assert len(lines) == 3
    for i, line in enumerate(lines, 1):
        assert re.search(rf'\[{i}/3\].* lr: .* eta: \d:\d\d:\d\d .*time: .*grad_norm: .*loss: \d', line)


def test_validation_logs_every_scalar(make_runner, log_of):
    runner = make_runner(1)
    runner.train()
    assert re.search(r'Iter\(val\).* psnr: .* ssim: .* blur/psnr: .* blur/ssim: .* tfp/psnr: ', log_of(runner))
