"""What the fields of a TFLite file are called: the schema, version 3, as tables.

Only what readers need is listed; the tests compare it with the package `tflite`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BUILTINS", "OPTIONS", "OPTIONS_OF", "TYPES", "Field", "OptionsTable"]

#: Names of builtin operators, at the place that is their code.
BUILTINS: tuple[str, ...] = tuple(
    """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE
    DEQUANTIZE EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP
    L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE
    RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD
    UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND
    TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
    BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE
    BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG
    PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV
    SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE
    POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT
    LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE
    ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
    SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N
    GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE
    MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4
    NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
    PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D
    CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT
    HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
    ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
    RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1
    UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
    UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC
    STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM
    STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
    STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
    STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND
    STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG
    STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER
    STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT
    STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
    STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD
    STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT
    STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
    STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
    STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT
    """.split()
)

#: Names of element types, at the place that is their code.
TYPES: tuple[str, ...] = tuple(
    """
    float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64
    complex128 uint64 resource variant uint32 uint16 int4 bfloat16
    """.split()
)


@dataclass(frozen=True)
class Field:
    """A field of a table of options.

    Parameters
    ----------
    slot : int
        Its place in the table.
    name, kind : str
        "text" is a text, "int32s" a vector of int32, others are numbers.
    default : float
        What an absent number means.
    """

    slot: int
    name: str
    kind: str
    default: float = 0


@dataclass(frozen=True)
class OptionsTable:
    """Options of some operators.

    Parameters
    ----------
    code : int
        Of the union BuiltinOptions.
    fields : tuple of Field
    """

    code: int
    fields: tuple[Field, ...]


def _table(code: int, text: str) -> OptionsTable:
    """Fields in the order of their slots: ``name:kind=default``, or - for a gap."""
    fields = []
    for slot, word in enumerate(text.split()):
        if word == "-":
            continue
        name, _, kind = word.partition(":")
        kind, _, default = kind.partition("=")
        fields.append(Field(slot, name, kind, int(default or 0)))
    return OptionsTable(code, tuple(fields))


#: Options by the name of their table, without its ending "Options".
OPTIONS: dict[str, OptionsTable] = {
    "Add": _table(11, "activation:int8"),
    "ArgMax": _table(40, "output_type:int8"),
    "ArgMin": _table(57, "output_type:int8"),
    "BatchMatMul": _table(101, "adj_x:bool adj_y:bool"),
    "CallOnce": _table(103, "init_subgraph_index:int32"),
    "Call": _table(16, "subgraph:uint32"),
    "Concatenation": _table(10, "axis:int32 activation:int8"),
    "Conv2D": _table(
        1,
        "padding:int8 stride_w:int32 stride_h:int32 activation:int8 "
        "dilation_wfactor:int32=1 dilation_hfactor:int32=1",
    ),
    "Conv3D": _table(
        106,
        "padding:int8 stride_d:int32 stride_w:int32 stride_h:int32 "
        "activation:int8 dilation_dfactor:int32=1 dilation_wfactor:int32=1 "
        "dilation_hfactor:int32=1",
    ),
    "Cumsum": _table(102, "exclusive:bool reverse:bool"),
    "DepthToSpace": _table(94, "block_size:int32"),
    "DepthwiseConv2D": _table(
        2,
        "padding:int8 stride_w:int32 stride_h:int32 depth_multiplier:int32 "
        "activation:int8 dilation_wfactor:int32=1 dilation_hfactor:int32=1",
    ),
    "Div": _table(29, "activation:int8"),
    "FakeQuant": _table(58, "min:float32 max:float32 num_bits:int32 narrow_range:bool"),
    "FullyConnected": _table(
        8, "activation:int8 weights_format:int8 keep_num_dims:bool"
    ),
    "Gather": _table(23, "axis:int32 batch_dims:int32"),
    "Gelu": _table(116, "approximate:bool"),
    "If": _table(92, "then_subgraph_index:int32 else_subgraph_index:int32"),
    "L2Norm": _table(12, "activation:int8"),
    "LSTM": _table(
        14, "activation:int8 cell_clip:float32 proj_clip:float32 kernel_type:int8"
    ),
    "LeakyRelu": _table(75, "alpha:float32"),
    "LocalResponseNormalization": _table(
        13, "radius:int32 bias:float32 alpha:float32 beta:float32"
    ),
    "MirrorPad": _table(77, "mode:int8"),
    "Mul": _table(21, "activation:int8"),
    "OneHot": _table(61, "axis:int32"),
    "Pack": _table(59, "values_count:int32 axis:int32"),
    "Pool2D": _table(
        5,
        "padding:int8 stride_w:int32 stride_h:int32 filter_width:int32 "
        "filter_height:int32 activation:int8",
    ),
    "RNN": _table(7, "activation:int8"),
    "Reducer": _table(27, "keep_dims:bool"),
    "Reshape": _table(17, "new_shape:int32s"),
    "ResizeBilinear": _table(15, "- - align_corners:bool half_pixel_centers:bool"),
    "ResizeNearestNeighbor": _table(74, "align_corners:bool half_pixel_centers:bool"),
    "ReverseSequence": _table(87, "seq_dim:int32 batch_dim:int32"),
    "SVDF": _table(6, "rank:int32 activation:int8"),
    "SequenceRNN": _table(31, "time_major:bool activation:int8"),
    "Shape": _table(55, "out_type:int8"),
    "Softmax": _table(9, "beta:float32"),
    "SpaceToDepth": _table(19, "block_size:int32"),
    "Split": _table(35, "num_splits:int32"),
    "SplitV": _table(79, "num_splits:int32"),
    "Squeeze": _table(30, "squeeze_dims:int32s"),
    "StridedSlice": _table(
        32,
        "begin_mask:int32 end_mask:int32 ellipsis_mask:int32 new_axis_mask:int32 "
        "shrink_axis_mask:int32 offset:bool",
    ),
    "Sub": _table(28, "activation:int8"),
    "TransposeConv": _table(
        49, "padding:int8 stride_w:int32 stride_h:int32 activation:int8"
    ),
    "UnidirectionalSequenceLSTM": _table(
        71,
        "activation:int8 cell_clip:float32 proj_clip:float32 time_major:bool - "
        "diagonal_recurrent_tensors:bool",
    ),
    "BidirectionalSequenceLSTM": _table(
        69,
        "activation:int8 cell_clip:float32 proj_clip:float32 merge_outputs:bool "
        "time_major:bool=1",
    ),
    "Unpack": _table(64, "num:int32 axis:int32"),
    "VarHandle": _table(111, "container:text shared_name:text"),
    "While": _table(93, "cond_subgraph_index:int32 body_subgraph_index:int32"),
}

#: Table of options by operator, for those that have one with fields.
OPTIONS_OF: dict[str, str] = {
    operator: table
    for table, operators in (
        ("Add", "ADD"),
        ("ArgMax", "ARG_MAX"),
        ("ArgMin", "ARG_MIN"),
        ("BatchMatMul", "BATCH_MATMUL"),
        ("CallOnce", "CALL_ONCE"),
        ("Call", "CALL"),
        ("Concatenation", "CONCATENATION"),
        ("Conv2D", "CONV_2D"),
        ("Conv3D", "CONV_3D"),
        ("Cumsum", "CUMSUM"),
        ("DepthToSpace", "DEPTH_TO_SPACE"),
        ("DepthwiseConv2D", "DEPTHWISE_CONV_2D"),
        ("Div", "DIV"),
        ("FakeQuant", "FAKE_QUANT"),
        ("FullyConnected", "FULLY_CONNECTED"),
        ("Gather", "GATHER"),
        ("Gelu", "GELU"),
        ("If", "IF"),
        ("L2Norm", "L2_NORMALIZATION"),
        ("LSTM", "LSTM"),
        ("LeakyRelu", "LEAKY_RELU"),
        ("LocalResponseNormalization", "LOCAL_RESPONSE_NORMALIZATION"),
        ("MirrorPad", "MIRROR_PAD"),
        ("Mul", "MUL"),
        ("OneHot", "ONE_HOT"),
        ("Pack", "PACK"),
        ("Pool2D", "AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D"),
        ("RNN", "RNN"),
        ("Reducer", "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL"),
        ("Reshape", "RESHAPE"),
        ("ResizeBilinear", "RESIZE_BILINEAR"),
        ("ResizeNearestNeighbor", "RESIZE_NEAREST_NEIGHBOR"),
        ("ReverseSequence", "REVERSE_SEQUENCE"),
        ("SVDF", "SVDF"),
        ("SequenceRNN", "UNIDIRECTIONAL_SEQUENCE_RNN"),
        ("Shape", "SHAPE"),
        ("Softmax", "SOFTMAX"),
        ("SpaceToDepth", "SPACE_TO_DEPTH"),
        ("Split", "SPLIT"),
        ("SplitV", "SPLIT_V"),
        ("Squeeze", "SQUEEZE"),
        ("StridedSlice", "STRIDED_SLICE"),
        ("Sub", "SUB"),
        ("TransposeConv", "TRANSPOSE_CONV"),
        ("UnidirectionalSequenceLSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
        ("BidirectionalSequenceLSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"),
        ("Unpack", "UNPACK"),
        ("VarHandle", "VAR_HANDLE"),
        ("While", "WHILE"),
    )
    for operator in operators.split()
}
