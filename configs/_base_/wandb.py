# Logs scalars and pictures to Weights & Biases as well; `wandb login` first, or WANDB_MODE=offline.
visualizer = dict(
    type='Visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
        dict(type='WandbVisBackend', init_kwargs=dict(project='vrtspike')),
    ],
)
