from types import SimpleNamespace

from vrtspike.hooks import InstantCurveHook


def test_the_last_validation_is_drawn_if_it_has_instants(tmp_path):
    runner = SimpleNamespace(work_dir=str(tmp_path), iter=3)
    hook = InstantCurveHook()
    hook.after_val_epoch(runner, metrics={'psnr': 30.0})
    assert not any(tmp_path.iterdir())
    hook.after_val_epoch(runner, metrics={'psnr': 30.0, 'psnr@0': 29.0, 'psnr@0.5': 31.0})
    assert [path.name for path in tmp_path.iterdir()] == ['psnr_over_instants.png']
