"""The texts of a report in both of its languages."""

# ruff: noqa: E501 - a text and its translation stand side by side
from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    'title': ('Performance guide of {config}, measured', '{config} 的性能指南（实测）'),
    'summary': ('Summary', '摘要'),
    'what': (
        'Objective: {objective}. Device: {device}. Clips {shape} (clips, frames, height, width). torch {torch}.',
        '目标：{objective}。设备：{device}。输入 {shape}（片段数、帧数、高、宽）。torch {torch}。',
    ),
    'cpu': (
        "The config's cpu_overrides set crop and batch here; the network is the full one.",
        '此处的裁剪与批大小来自配置的 cpu_overrides；网络仍是完整的。',
    ),
    'best': (
        'The optimised config takes {ms:.1f} ms per sample where the default takes {default:.1f}: '
        '{saving:+.0%} saved ({low:+.0%} to {high:+.0%} over the rounds).',
        '优化后的配置每个样本 {ms:.1f} 毫秒，默认配置 {default:.1f} 毫秒：节省 {saving:+.0%}'
        '（各轮 {low:+.0%} 至 {high:+.0%}）。',
    ),
    'nothing_found': (
        'Nothing that saves time can be taken: keep the default config.',
        '没有可采用的省时措施：请保留默认配置。',
    ),
    'published': (
        "The published code's path (plain operators, float32) takes {ms:.1f} ms per sample; the default saves "
        '{saving:+.0%} of that ({low:+.0%} to {high:+.0%} over the rounds).',
        '已发表代码的计算路径（普通算子、float32）每个样本 {ms:.1f} 毫秒；默认配置节省其中的 {saving:+.0%}'
        '（各轮 {low:+.0%} 至 {high:+.0%}）。',
    ),
    'default_too_large': (
        'The default needs {mib:.0f} MiB, more than the {gib:g} GiB that are allowed; the optimised config fits.',
        '默认配置需要 {mib:.0f} MiB，超过允许的 {gib:g} GiB；优化后的配置没有超过。',
    ),
    'nothing_fits': (
        'The default needs {mib:.0f} MiB, more than the {gib:g} GiB that are allowed, and nothing that fits '
        'can be taken: use smaller crops or fewer clips.',
        '默认配置需要 {mib:.0f} MiB，超过允许的 {gib:g} GiB，且没有可采用而不超限的措施：请减小裁剪或批大小。',
    ),
    'promise': (
        "The guide's combined plan promised 50 to 70 % off the iteration; 70 %: {verdict}",
        '原指南的组合方案承诺每次迭代减少 50% 至 70%；其中 70%：{verdict}',
    ),
    'promise_met': ('reached ({saving:.0%}).', '已达到（{saving:.0%}）。'),
    'promise_missed': (
        'not reached; {saving:.0%} is the closest, with candidates measured to lose no more than {loss} dB on average.',
        '未达到；在经实测平均损失不超过 {loss} dB 的措施中，最接近的是 {saving:.0%}。',
    ),
    'together_db': (
        'Everything that was kept, together: {db} against the default.',
        '所保留的全部措施合计：与默认配置相比 {db}。',
    ),
    'together_unknown': (
        'What everything that was kept loses together in dB was not measured.',
        '所保留的全部措施合计损失多少 dB 未测量。',
    ),
    'first_bottleneck': (
        'The costliest stage is {stage}: {share:.1%} of {of}.',
        '开销最大的是 {stage}：占{of}的 {share:.1%}。',
    ),
    'quality_known': (
        'Quality: {iterations} iterations, seeds {seeds}; the reference gained {gain:+.2f} dB over the blurred input.',
        '质量：{iterations} 次迭代，种子 {seeds}；参考网络比模糊输入提升 {gain:+.2f} dB。',
    ),
    'quality_unknown': (
        'Quality was not measured: {why}. Candidates that change the network are therefore listed '
        'with their speed and not taken.',
        '未测量质量：{why}。因此改变网络的措施只列出速度，不予采用。',
    ),
    'no_time': ('there was no time for a training', '时间不足以完成一次训练'),
    'no_gain': (
        'the reference gained less than 2 dB over the blurred input in that training, so no difference would be informative',
        '参考网络在该训练中比模糊输入提升不足 2 dB，任何差异都不可信',
    ),
    'no_reference': ('the training of the default failed: {failure}', '默认配置的训练失败：{failure}'),
    'none_tried': ('no candidate that changes what is computed was measured', '没有测量任何改变计算结果的措施'),
    'no_changes': ('no candidate that changes what is computed saved time', '没有改变计算结果的措施节省了时间'),
    'bottlenecks': ('Bottlenecks', '瓶颈'),
    'stage': ('stage', '阶段'),
    'share': ('share of {of}', '占{of}比例'),
    'interval': ('95 % interval', '95% 区间'),
    'roofline_share': ('of the roofline', '达到屋顶线'),
    'bound_by': ('bound by', '受限于'),
    'candidates': ('Candidates, each alone', '各项措施（单独）'),
    'candidate': ('candidate', '措施'),
    'kind': ('kind', '类别'),
    'ms': ('ms per sample (default)', '毫秒/样本（默认）'),
    'saved': ('time saved', '节省时间'),
    'range': ('over the rounds', '各轮范围'),
    'predicted': ('MACs predict', 'MAC 预测'),
    'memory': ('peak MiB', '峰值 MiB'),
    'db': ('dB [95 %]', 'dB [95%]'),
    'of_published': ('saved of the published path', '相对已发表路径节省'),
    'verdict': ('verdict', '结论'),
    'taken': ('taken', '采用'),
    'nothing': ('saves nothing', '无节省'),
    'slower': ('slower', '更慢'),
    'unsure': ('not in every round', '并非每轮都节省'),
    'too_lossy': ('loses too much', '损失过大'),
    'too_lossy_together': ('loses too much with what was kept', '与已保留的措施合用损失过大'),
    'unknown_db': ('saves, dB unknown', '有节省，dB 未知'),
    'too_large': ('needs too much memory', '内存超限'),
    'saves': ('saves, not taken', '有节省，未采用'),
    'replaced': ('another one saves more', '另一措施节省更多'),
    'exact': ('same function', '同一函数'),
    'precision': ('lower precision', '较低精度'),
    'changes': ('another network', '另一网络'),
    'not_measured': ('not measured', '未测量'),
    'not informative': ('not informative', '无法判断'),
    'better': ('better', '更好'),
    'worse': ('worse', '更差'),
    'no difference seen': ('no difference seen', '未见差异'),
    'together': ('Together', '组合'),
    'added': ('added', '加入'),
    'kept': ('kept', '保留'),
    'yes': ('yes', '是'),
    'no': ('no', '否'),
    'on_the_mean': ('on average, but not with the whole interval', '均值在内，整个区间则不然'),
    'in_all': ('saved in all', '累计节省'),
    'interaction': ('against independent', '相对独立假设'),
    'interaction_note': (
        '"Against independent" is the measured time divided by the time that the savings of the single '
        "candidates multiply to: above 1 they get in each other's way. dB is that of everything kept "
        'before and this candidate, where they were trained. What was not kept was not the fastest of '
        'its round, did not save more in every round, lost too much, or there was no time or memory for it.',
        '“相对独立假设”是实测时间与各单项系数之积所得时间之比：大于 1 说明措施相互妨碍。'
        'dB 是此前保留的措施与该行合计的数值（仅在训练过时给出）。未保留者在该轮中不是最快、并非每轮都节省更多、损失过大，或时间、内存不足。',
    ),
    'front': ('Quality against time and memory', '质量与时间、内存'),
    'picture': (
        'Filled points have a known quality; blue ones are on the front. "+" marks what a combination added last.',
        '实心点的质量已知；蓝点位于前沿。“+”之后是组合中最后加入的措施。',
    ),
    'front_note': (
        'On the front (nothing is faster and needs less memory and loses less): {names}.',
        '位于前沿（没有更快、更省内存且损失更小者）：{names}。',
    ),
    'saved_nothing': ('What saved nothing, or not in every round', '没有效果或效果不确定的措施'),
    'nothing_row': (
        '{name}: {saving:+.1%} ({low:+.1%} to {high:+.1%}).',
        '{name}：{saving:+.1%}（{low:+.1%} 至 {high:+.1%}）。',
    ),
    'not_tried': ('What was not tried', '未尝试的措施'),
    'skip_row': ('{name}: {why}.', '{name}：{why}。'),
    'failed': ('failed: {why}', '失败：{why}'),
    'small_share': ('its stages take {most:.1%} of {of}', '它所涉及的部分只占{of}的 {most:.1%}'),
    'time_over': ('no time was left', '时间已用完'),
    'no_flex': ('FlexAttention has no backward pass on CPUs', 'FlexAttention 在 CPU 上没有反向传播'),
    'no_flash': ('the fused kernel needs a GPU with Triton', '融合核需要带 Triton 的 GPU'),
    'no_compiler': ('torch.compile needs a C++ compiler', 'torch.compile 需要 C++ 编译器'),
    'no_graphs': ('CUDA graphs need a GPU', 'CUDA graphs 需要 GPU'),
    'does_already': ('the config already does this', '配置已是如此'),
    # Used by older records only.
    'needs_training': (
        'waiting for data takes {most:.1%} of {of}; only a training can tell',
        '等待数据占{of}的 {most:.1%}；只有训练能得知',
    ),
    'pruned': ('not measured: would replace {replaces} and save less', '未测量：将替换 {replaces} 且节省更少'),
    'checklist': ('Checklist', '检查清单'),
    'check_throughput': (
        'Throughput is higher: {answer} ({low:+.0%} to {high:+.0%} of the time saved).',
        '吞吐量更高：{answer}（节省时间 {low:+.0%} 至 {high:+.0%}）。',
    ),
    'check_memory': (
        'Memory is lower: {answer} ({mib:.0f} MiB, default {default:.0f} MiB).',
        '内存更低：{answer}（{mib:.0f} MiB，默认 {default:.0f} MiB）。',
    ),
    'check_quality': (
        'Quality is in range: {answer} ({db}; may lose {loss:g} dB).',
        '质量在允许范围内：{answer}（{db}；允许损失 {loss:g} dB）。',
    ),
    'check_default': (
        'Train the optimised config: `python tools/train.py {path}`',
        '训练优化后的配置：`python tools/train.py {path}`',
    ),
    'check_restore': (
        'Test with the optimised config: `python tools/test.py {path} CHECKPOINT`',
        '用优化后的配置测试：`python tools/test.py {path} CHECKPOINT`',
    ),
    'check_stages': (
        'Check that the loss converges and the bottleneck is gone: `python tools/analyze_logs.py check RUN --against {profile}`',
        '损失收敛、瓶颈缓解：`python tools/analyze_logs.py check RUN --against {profile}`',
    ),
    'reproduce': ('Reproduce', '复现'),
    'reproduce_note': (
        'Every trial has its config and its record in `trials/`. To measure a row again:',
        '每次试验的配置与记录都在 `trials/` 中；重测一行：',
    ),
    'output': ('The optimised config', '优化后的配置'),
    'train': ('training step', '训练步'),
    'infer': ('restoring', '复原'),
    'whole_train': ('the iteration', '迭代'),
    'whole_infer': ('restoring', '复原'),
}

LANGUAGES = ('en', 'zh')


def text_in(language: str, key: str, **values: object) -> str:
    """Return a text in a language, with its values.

    Raises:
        KeyError: There is no such text.
    """
    return TEXTS[key][LANGUAGES.index(language)].format(**values)
