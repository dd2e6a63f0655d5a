from vrtspike.tuner.commands import options


def test_overrides_are_written_key_by_key():
    overrides = {'train_cfg.max_iters': 8, 'model': {'fusion': {'type': 'A', 'heads': 2}}}
    assert options(overrides) == ['train_cfg.max_iters=8', 'model.fusion.type=A', 'model.fusion.heads=2']


def test_lists_are_written_without_spaces_and_an_empty_dict_as_itself():
    assert options({'shape': [1, 2], 'pair': (3, 4), 'none': {}}) == ['shape=[1,2]', 'pair=[3,4]', 'none={}']
