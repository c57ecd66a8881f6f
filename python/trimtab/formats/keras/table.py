"""Which classes of Keras have a rule, and where it is.

The allow-list: what is not here is refused. A file's names are only looked up.
"""

from __future__ import annotations

__all__ = ["LAYERS"]

#: class name -> ``module:function`` in `trimtab.formats.keras.layers`; a rule takes a
#: `LayerContext` and gives a `Tensor` or several
LAYERS: dict[str, str] = {
    "Functional": "model:functional",
    "Model": "model:functional",
    "Sequential": "model:sequential",
    "Dense": "dense:dense",
    # recurrent layers
    "LSTM": "recurrent:recurrent",
    "GRU": "recurrent:recurrent",
    "SimpleRNN": "recurrent:recurrent",
    "RNN": "recurrent:recurrent",
    "ConvLSTM1D": "conv_lstm:conv_lstm",
    "ConvLSTM2D": "conv_lstm:conv_lstm",
    "ConvLSTM3D": "conv_lstm:conv_lstm",
    # wrappers
    "Bidirectional": "wrappers:bidirectional",
    "TimeDistributed": "wrappers:time_distributed",
    # attention
    "MultiHeadAttention": "attention:multi_head_attention",
    "GroupedQueryAttention": "attention:group_query_attention",
    "GroupQueryAttention": "attention:group_query_attention",
    "Attention": "attention:attention",
    "AdditiveAttention": "attention:additive_attention",
    # preprocessing
}
