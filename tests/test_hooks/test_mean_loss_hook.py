import torch

from vrtspike.hooks import MeanLossHook, mean_loss_hook


def test_scalars_become_the_mean_over_processes(monkeypatch):
    monkeypatch.setattr(mean_loss_hook, 'get_world_size', lambda: 2)
    monkeypatch.setattr(mean_loss_hook, 'all_reduce', lambda means, how: means.add_(1).div_(2))  # the other has ones
    outputs = {'loss': torch.tensor(3.0), 'map': torch.zeros(2, 2), 'text': 'x'}
    MeanLossHook().after_train_iter(None, 0, outputs=outputs)
    assert outputs['loss'].item() == 2
    assert outputs['map'].shape == (2, 2)


def test_one_process_keeps_its_own():
    loss = torch.tensor(3.0)
    outputs = {'loss': loss}
    MeanLossHook().after_train_iter(None, 0, outputs=outputs)
    assert outputs['loss'] is loss
