import pytest
import torch
from torch import nn

from vrtspike.errors import ConfigError, DataError
from vrtspike.models import SpikeRestorer
from vrtspike.models.restorer import resize_maps
from vrtspike.profiling import listening
from vrtspike.testing.sweep import TINY_BACKBONE

BACKBONE = dict(type='VRT', **TINY_BACKBONE)
ENCODER = dict(type='SpikeEncoder3D', bins=4, channels=8)
PARTS = dict(
    backbone=BACKBONE,
    spike_encoder=ENCODER,
    tsa=dict(type='TemporalSelfAttention', heads=2),
    fusion=dict(type='TemporalCrossAttention', heads=2),
)
LITE = dict(type='VRTLite')
SMALL_CHUNKS = dict(adaptive_chunk=False, chunk_size=2, chunk_shape='square')


def make(backbone=None, **changes):
    torch.manual_seed(0)
    return SpikeRestorer(**PARTS | dict(backbone=dict(BACKBONE, **backbone or {})) | changes)


def awake(model):
    """Give the zero-initialised last convolution weights, so that features reach the output."""
    nn.init.normal_(model.backbone.conv_last.weight, std=0.1)
    return model.eval()


def inputs(size=(16, 16), spike_size=(8, 8), batch=1, frames=2):
    generator = torch.Generator().manual_seed(1)
    blur, sharp = torch.rand(2, batch, frames, 3, *size, generator=generator)
    return dict(blur=blur, sharp=sharp, spikes=torch.rand(batch, frames, 4, *spike_size, generator=generator))


class TestModes:
    def test_tensor(self):
        data = inputs((16, 24), (8, 12))
        assert make()(**data, mode='tensor').shape == data['blur'].shape

    def test_loss_is_that_of_the_restored_frames(self):
        model, data = awake(make()), inputs()
        expected = model.loss(model(**data), data['sharp'])
        assert model(**data, mode='loss') == {'loss': expected}

    def test_loss_leaves_out_the_padding(self):
        model, data = make().eval(), inputs()
        expected = model.loss(data['blur'][..., :13, :10], data['sharp'][..., :13, :10])
        data['sharp'][..., 13:, :] = 100
        data['sharp'][..., 10:] = 100
        torch.testing.assert_close(model(**data, size=(13, 10), mode='loss')['loss'], expected)

    def test_without_sharp_frames_the_error_names_the_recipe(self):
        data = inputs() | {'sharp': None}
        with pytest.raises(DataError, match=r'no sharp frames.*recipes/reblur.py'):
            make()(**data, mode='loss')

    @pytest.mark.parametrize('kinds', [('blur',), ('sdm', 'blur'), ('blur', 'sdm')])
    def test_reblurring_compares_with_the_blurred_frames_of_the_input(self, kinds):
        preprocessor = dict(type='SpikePreprocessor', inputs=kinds)
        model = make(
            backbone=dict(in_chans=3 * len(kinds)), data_preprocessor=preprocessor, loss=dict(type='ReblurLoss')
        )
        data = inputs(batch=3)
        frames = {'blur': data['blur'], 'sdm': torch.zeros_like(data['blur'])}
        meta = {
            'instants': torch.tensor([3]),
            'supervised': torch.zeros(1, 6, dtype=torch.bool),
            'threshold': torch.ones(1),
            'light': ['linear'],
        }
        given = data | {'blur': torch.cat([frames[kind] for kind in kinds], dim=2)}
        losses = model(**given, meta=meta, mode='loss')
        expected = model.loss(model(**given), data['sharp'], data['blur'], meta)
        assert losses.keys() == {'reblur_loss', 'sdm_loss', 'restoration_loss'}
        assert all(torch.equal(losses[name], expected[name]) for name in losses)

    def test_predict_clamps_and_crops_and_tells_the_place(self):
        model, data = awake(make()), inputs(batch=2)
        model.backbone.conv_last.bias.data.fill_(0.8)
        predicted = model(**data, size=(13, 10), mode='predict')
        restored = model(**data)
        assert [clip['index'] for clip in predicted] == [0, 1]
        assert restored.max() > 1
        for clip, whole in zip(predicted, restored, strict=True):
            assert torch.equal(clip['restored'], whole[..., :13, :10].clamp(0, 1))

    def test_a_larger_scale_is_cropped_at_that_scale(self):
        data = inputs()
        model = make(backbone=dict(upscale=2))
        assert model(**data, size=(13, 10)).shape == (1, 2, 3, 26, 20)

    def test_an_unknown_mode_is_refused(self):
        with pytest.raises(ValueError, match="mode='train'; expected 'tensor', 'loss' or 'predict'"):
            make()(**inputs(), mode='train')

    def test_a_batch_goes_through_train_val_and_test_steps(self):
        model = make()
        data = inputs((10, 12), (5, 6))
        raw = {key: (data[key] * 255).byte() for key in ('blur', 'sharp')} | {'spikes': data['spikes'], 'meta': {}}
        (sample,) = model.val_step(raw)
        torch.testing.assert_close(sample['restored'], raw['blur'][0].float() / 255)
        assert sample['restored'].shape == (2, 3, 10, 12)

    @pytest.mark.parametrize('task', [dict(nonblind_denoising=True), dict(pa_frames=0)])
    @pytest.mark.parametrize('mode', ['loss', 'predict'])
    def test_networks_for_other_tasks_neither_train_nor_restore_clips(self, task, mode):
        model, data = make(task, fusion=None), inputs()
        with pytest.raises(ConfigError, match=r'VRT takes \d channels and returns \d of 2 frames, but clips have 3'):
            model(data['blur'], sharp=data['sharp'], mode=mode)


class TestFusion:
    def test_untrained_it_is_the_identity(self):
        data = inputs()
        assert torch.equal(make()(**data), data['blur'])

    def test_spikes_matter(self):
        model, data = awake(make()), inputs()
        restored = model(**data)
        assert not torch.allclose(model(**data | {'spikes': data['spikes'] * 0}), restored, atol=1e-5)

    def test_every_parameter_gets_a_gradient(self):
        model = awake(make(fusion_stages=range(8)))
        model(**inputs(), mode='loss')['loss'].backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert missing == []

    def test_without_fusion_spikes_are_neither_needed_nor_built(self):
        model, data = make(fusion=None), inputs()
        assert not model.uses_spikes
        assert {name for name, _ in model.named_children()} == {'data_preprocessor', 'backbone', 'loss'}
        assert model(data['blur']).shape == data['blur'].shape

    def test_without_tsa(self):
        model, data = make(tsa=None), inputs()
        assert len(model.tsa) == 0
        assert model(**data).shape == data['blur'].shape

    def test_missing_spikes_are_an_error(self):
        with pytest.raises(ValueError, match='uses spikes, but the data have none'):
            make()(inputs()['blur'])

    def test_fusion_without_an_encoder_is_refused(self):
        with pytest.raises(ConfigError, match='fusion needs a spike_encoder'):
            make(spike_encoder=None)

    @pytest.mark.parametrize(
        ('stages', 'scales'),
        [([0], ['scale0']), ([4], ['scale3']), ([1, 7], ['scale0']), ([2, 3, 5], ['scale1', 'scale2']), ([], [])],
    )
    def test_only_the_stages_asked_for_and_the_scales_they_need_are_built(self, stages, scales):
        model = make(fusion_stages=stages)
        assert list(model.fusion) == [f'stage{i}' for i in stages]
        assert list(model.tsa) == scales
        data = inputs()
        assert model(**data).shape == data['blur'].shape

    @pytest.mark.parametrize('stage', [8, -1])
    def test_a_stage_that_does_not_exist_is_refused(self, stage):
        with pytest.raises(ConfigError, match=f'fusion_stages has {stage}; .* after stages 1-7'):
            make(fusion_stages=[1, stage])

    def test_below_the_last_scale_of_the_encoder_that_one_serves(self):
        model = make(spike_encoder=dict(ENCODER, scales=2), fusion_stages=[1, 2, 4])
        assert [model.scale_of(i) for i in (1, 2, 4)] == [0, 1, 1]
        assert list(model.tsa) == ['scale0', 'scale1']
        data = inputs()
        assert model(**data).shape == data['blur'].shape

    def test_maps_are_projected_only_where_channels_differ(self):
        assert len(make().projection) == 0
        model = make(spike_encoder=dict(ENCODER, channels=4), fusion_stages=[1, 3])
        shapes = {name: (conv.in_channels, conv.out_channels) for name, conv in model.projection.items()}
        assert shapes == {'stage1': (4, 8), 'stage3': (4, 8)}
        assert model(**inputs()).shape == (1, 2, 3, 16, 16)

    def test_maps_are_resized_to_the_features(self):
        flat = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(1, 3, 2, 4, 5)
        assert resize_maps(flat, (4, 5)) is flat
        assert torch.equal(resize_maps(flat, (8, 9)), flat[..., :1, :1].expand(1, 3, 2, 8, 9))

    @pytest.mark.parametrize('spike_size', [(16, 16), (8, 8), (4, 4), (5, 7)])
    def test_any_spike_resolution(self, spike_size):
        data = inputs(spike_size=spike_size)
        assert torch.isfinite(awake(make())(**data)).all()

    def test_chunks_do_not_change_the_result(self):
        data = inputs()
        whole = awake(make())
        chunked = awake(
            make(
                tsa=dict(type='TemporalSelfAttention', heads=2, **SMALL_CHUNKS),
                fusion=dict(type='TemporalCrossAttention', heads=2, **SMALL_CHUNKS),
            )
        )
        chunked.load_state_dict(whole.state_dict())
        torch.testing.assert_close(chunked(**data), whole(**data))


def stages_of(names):
    """Return the stages among the marked names, once each, in their order."""
    return tuple(name for name in dict.fromkeys(names) if not name.startswith('/'))


class TestStages:
    class Recorder:
        def __init__(self):
            self.forward, self.backward = [], []

        def forward_begins(self, name):
            self.forward.append(name)

        def forward_ends(self, name):
            pass

        def backward_begins(self, name):
            self.backward.append(name)

        def backward_ends(self, name):
            pass

    @pytest.mark.parametrize('fusion_stages', [[1, 2, 3, 4], [0, 7]])
    def test_cost_stages_are_the_marked_ones_in_their_order(self, fusion_stages):
        model = awake(make(fusion_stages=fusion_stages))
        with listening(self.Recorder()) as recorder:
            model(**inputs(), mode='loss')['loss'].backward()
        forward, backward = (stages_of(names) for names in (recorder.forward, recorder.backward))
        assert forward == model.cost_stages()
        assert set(backward) == set(model.cost_stages())

    def test_parts_are_marked_inside_the_stages(self):
        with listening(self.Recorder()) as recorder:
            awake(make())(**inputs(), mode='loss')['loss'].backward()
        parts = {'/attention', '/mlp', '/offset_head', '/deform_conv', '/warp', '/fusion'}
        assert {name for name in recorder.forward if name.startswith('/')} == parts
        assert {name for name in recorder.backward if name.startswith('/')} == parts

    def test_without_fusion(self):
        model = make(fusion=None)
        assert model.cost_stages() == (*model.backbone.cost_stages(), 'loss')

    def test_summary_rows_hold_every_parameter_once(self):
        model = make(spike_encoder=dict(ENCODER, channels=4))
        rows = model.summary_rows()
        assert sum(row['parameters'] for row in rows) == sum(p.numel() for p in model.parameters())
        assert [row['part'] for row in rows[-4:]] == ['spike_encoder', 'tsa', 'fusion', 'projection']

    def test_a_backbone_without_rows_gets_one(self):
        class Plain(nn.Conv2d):
            stage_channels, stage_scales, scale, cost_stages = (8,), (1,), 1, staticmethod(tuple)

        (row,) = SpikeRestorer(backbone=Plain(3, 3, 1)).summary_rows()
        assert row == {'part': 'Plain', 'parameters': 12}


class TestTiling:
    def test_predictions_are_tiled_and_training_is_not(self):
        model, data = awake(make(tiling=dict(tile=[2, 16, 16], overlap=[0, 8, 8]))), inputs((16, 32), (8, 16))
        seen = []
        model.backbone.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].shape[-2:]))
        predicted = model(**data, mode='predict')[0]['restored']
        assert predicted.shape == (2, 3, 16, 32)
        assert set(seen) == {(16, 16)}
        assert len(seen) == 3
        seen.clear()
        model(**data, mode='loss')
        assert seen == [(16, 32)]

    def test_one_tile_is_the_whole_frame(self):
        data = inputs((16, 32), (8, 16))
        whole, tiled = (awake(make(tiling=tiling)) for tiling in (None, dict(tile=[0, 64, 64], overlap=[0, 8, 8])))
        assert torch.equal(whole(**data, mode='predict')[0]['restored'], tiled(**data, mode='predict')[0]['restored'])


class TestStart:
    @pytest.mark.parametrize('parts', [{}, dict(backbone=LITE)])
    @pytest.mark.parametrize('tiling', [{}, dict(tile=(2, 16, 16), overlap=(0, 8, 8)), dict(ensemble=True)])
    def test_an_untrained_network_returns_the_estimate(self, parts, tiling):
        model = SpikeRestorer(**PARTS | parts, start='sdm', tiling=tiling).eval()
        data = inputs((24, 24), (12, 12))
        uint8 = {key: (255 * data[key]).byte() for key in ('blur', 'sharp')} | {'spikes': data['spikes']}
        uint8['sdm'] = uint8['sharp']
        prepared = model.data_preprocessor(uint8)
        assert prepared['blur'].shape == (1, 2, 6, 24, 24)
        with torch.no_grad():
            (restored,) = model(**prepared, mode='predict')
        torch.testing.assert_close(restored['restored'], uint8['sdm'][0].float() / 255, atol=1e-6, rtol=0)

    def test_the_blurred_frame_is_seen_too(self):
        model = awake(make(start='sdm'))
        clip = torch.rand(1, 2, 6, 16, 16, generator=torch.Generator().manual_seed(0))
        other = torch.cat((clip[:, :, :3], 1 - clip[:, :, 3:]), dim=2)
        spikes = inputs()['spikes']
        assert not torch.allclose(model(clip, spikes), model(other, spikes))

    def test_only_the_first_convolution_differs(self):
        shapes = [
            {key: value.shape for key, value in make(start=each).state_dict().items()} for each in ('blur', 'sdm')
        ]
        assert {key for key in shapes[0] if shapes[0][key] != shapes[1][key]} == {'backbone.conv_first.weight'}
        assert shapes[0].keys() == shapes[1].keys()

    def test_further_inputs_stand_between_the_estimate_and_the_blurred_frame(self):
        model = make(start='sdm', further_inputs=['sdm_neighbour'])
        assert (model.data_preprocessor.inputs, model.backbone.in_channels) == (('sdm', 'sdm_neighbour', 'blur'), 9)
        frames = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1, 1, 1).expand(3, 1, 2, 3, 16, 16)
        batch = dict(zip(('sdm', 'sdm_neighbour', 'blur'), frames, strict=True))
        stacked = model.data_preprocessor(batch | {'spikes': inputs()['spikes']})['blur']
        assert (255 * stacked[0, 0, ::3, 0, 0]).round().tolist() == [0, 1, 2]
        del batch['sdm_neighbour']
        with pytest.raises(DataError, match=r"no sdm_neighbour: put dict\(type='AddNeighbourSDM'\) before BinSpikes"):
            model.data_preprocessor(batch)

    @pytest.mark.parametrize(
        ('start', 'further'), [('blur', 'sdm_neighbour'), ('sdm', 'sharp'), ('sdm', 'sdm_neighbor')]
    )
    def test_other_further_inputs_are_errors(self, start, further):
        with pytest.raises(ConfigError, match=r"expected \['sdm_neighbour'\] or none"):
            make(start=start, further_inputs=[further])

    def test_an_unknown_start_is_an_error(self):
        with pytest.raises(ConfigError, match="expected 'blur', 'sdm' or 'spikes'"):
            make(start='tfp')


class TestSpikesAlone:
    @pytest.mark.parametrize('parts', [{}, dict(backbone=LITE), dict(fusion=None)])
    @pytest.mark.parametrize('tiling', [{}, dict(tile=(2, 16, 16), overlap=(0, 8, 8)), dict(ensemble=True)])
    def test_an_untrained_network_returns_the_estimate(self, parts, tiling):
        model = SpikeRestorer(**PARTS | parts, start='spikes', tiling=tiling).eval()
        grey = torch.randint(0, 256, (1, 2, 1, 24, 24), dtype=torch.uint8).expand(-1, -1, 3, -1, -1)
        data = {'blur': 255 - grey, 'estimate': grey, 'spikes': torch.rand(1, 2, 4, 24, 24)}
        with torch.no_grad():
            (restored,) = model(**model.data_preprocessor(data), mode='predict')
        torch.testing.assert_close(restored['restored'], grey[0].float() / 255, atol=1e-6, rtol=0)

    def test_restored_frames_are_grey_and_every_parameter_learns(self):
        model = awake(make(start='spikes'))
        data = inputs()
        restored = model(data['blur'], data['spikes'])
        assert restored.shape == data['blur'].shape
        assert (restored[:, :, :1] == restored).all()
        assert not torch.equal(restored, model(data['blur'], 1 - data['spikes']))
        restored.square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)

    def test_no_parameter_is_added(self):
        assert make(start='spikes').state_dict().keys() == make().state_dict().keys()
