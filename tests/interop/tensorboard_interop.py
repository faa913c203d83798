"""Reads a log folder of src/io/interop_test.cpp with TensorBoard's own reader.

tensorboard_interop.py FOLDER
The folder holds a run of steps 0 to 9, resumed at step 5 with other values.
"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
assert tags["scalars"] == ["train/loss", "train/lr"], tags
loss = [(e.step, e.value) for e in events.Scalars("train/loss")]
expected = [(s, s + 0.5) for s in range(5)] + [(s, s + 100.0) for s in range(5, 8)]
assert loss == expected, loss
assert all(e.wall_time > 1.6e9 for e in events.Scalars("train/loss"))
assert tags["tensors"] == ["sample"], tags
(sample,) = events.Tensors("sample")
assert sample.step == 7 and sample.tensor_proto.string_val[0].decode() == "**Once** 中文"
metadata = events.SummaryMetadata("sample")
assert metadata.plugin_data.plugin_name == "text", metadata
