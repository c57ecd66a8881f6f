"""Operators of TensorFlow that loading a SavedModel may run: an allow-list.

Enters: messages of saved_model.pb. Leaves: nothing, or an error that names operator
and function. Loading runs more than the signature: tables are created and filled,
objects restore themselves, constants are folded. So everything that can run is looked
at before TensorFlow sees the file. Operators that reach files, other processes or
Python are refused wherever the file has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from trimtab.errors import ModelFormatError, UnsafeModelError, UnsupportedOpError

__all__ = ["CONVERTIBLE", "check_operators", "signature_functions"]

#: Operators that are translated to ONNX, and those that hold variables and tables.
CONVERTIBLE = frozenset(
    """
Abs Acos Acosh Add AddN AddV2 AdjustContrastv2 AdjustHue AdjustSaturation All Any ArgMax
ArgMin AsString Asin Asinh Assert AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D
BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd BiasAddV1 Bincount
BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo
CTCGreedyDecoder Cast Ceil CheckNumerics ClipByValue CombinedNonMaxSuppression
ComplexAbs Concat ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2
Cos Cosh CropAndResize Cumprod Cumsum DenseBincount DenseToDenseSetOperation
DepthToSpace DepthwiseConv2dNative DestroyResourceOp DisableCopyOnRead Div DivNoNan
DynamicPartition DynamicStitch Einsum Elu Empty EmptyTensorList EnsureShape Enter Equal
Erf Erfc Exit Exp ExpandDims Expm1 ExtractImagePatches FFT FakeQuantWithMinMaxArgs
FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod
FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GRUBlockCell Gather GatherNd GatherV2
Greater GreaterEqual HashTableV2 Identity IdentityN If Invert InvertPermutation IsFinite
IsInf IsNan L2Loss LRN LSTMBlockCell LeakyRelu LeftShift Less LessEqual LinSpace Log
Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LookupTableExportV2 LookupTableFindV2
LookupTableImportV2 LookupTableSizeV2 LoopCond MatMul MatrixBandPart MatrixDeterminant
MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
MatrixInverse MatrixSetDiagV3 Max MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Maximum
Mean Merge Min Minimum MirrorPad Mod Mul MulNoNan Multinomial Neg NextIteration NoOp
NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual
OneHot OnesLike Pack Pad PadV2 ParallelDynamicStitch PartitionedCall Placeholder
PlaceholderV2 PlaceholderWithDefault Pow PreventGradient Prod QuantizeAndDequantizeV2
QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 RFFT RFFT2D RaggedGather RaggedRange
RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant
RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt Range Rank
ReadVariableOp RealDiv Reciprocal ReduceJoin Relu Relu6 Reshape ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor ResourceGather ResourceGatherNd ReverseSequence
ReverseV2 RightShift Rint Roll Round Rsqrt SampleDistortedBoundingBox
SampleDistortedBoundingBoxV2 ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd
SegmentSum Select SelectV2 Selu Shape Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax
SoftmaxCrossEntropyWithLogits Softplus Softsign SpaceToBatchND SpaceToDepth
SparseFillEmptyRows SparseReshape SparseSegmentMean SparseSegmentMeanWithNumSegments
SparseSegmentSqrtN SparseSegmentSqrtNWithNumSegments SparseSegmentSum
SparseSegmentSumWithNumSegments SparseSoftmaxCrossEntropyWithLogits SparseToDense Split
SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessIf
StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform
StatelessRandomUniformV2 StatelessWhile StaticRegexReplace StopGradient StridedSlice
StringJoin StringLower StringSplit StringSplitV2 StringToHashBucketFast StringToNumber
StringUpper Sub Sum Switch Tan Tanh TensorArrayGatherV3 TensorArrayReadV3
TensorArrayScatterV3 TensorArraySizeV3 TensorArrayV3 TensorArrayWriteV3
TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
TensorListReserve TensorListResize TensorListSetItem TensorListStack TensorScatterAdd
TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate Tile TopKV2
Transpose TruncateDiv Unique UniqueWithCounts Unpack UnsortedSegmentMax
UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum VarHandleOp VarIsInitializedOp
Where While Xdivy Xlogy ZerosLike
""".split()
)

# Files, networks, Python. What is neither here nor above may be harmless, and is
# refused where it would run because ONNX has nothing like it.
_UNSAFE = re.compile(
    r".*(Reader|Dataset|Iterator|File|PyFunc|Checkpoint|Save|Restore|Rpc|Library).*"
    r"|Debug.*|_?(Host)?(Send|Recv)|ImmutableConst|RecordInput|DumpTensor"
    r"|LoadAndRemapMatrix|GenerateVocabRemapping|FixedUnigramCandidateSampler"
)

# Children of an object that the loader of TensorFlow calls.
_CALLED = frozenset(["_create_resource", "_initialize", "_destroy_resource"])
_SIGNATURES = "signatures"
_MAX_SHOWN = 8


def signature_functions(meta_graph: Any) -> dict[str, str]:
    """Give the function behind each signature, as the loader finds it.

    Parameters
    ----------
    meta_graph : message MetaGraphDef

    Returns
    -------
    functions : dict of str to str

    Examples
    --------
    >>> signature_functions(saved.meta_graphs[0])          # doctest: +SKIP
    {'serving_default': '__inference_signature_wrapper_43'}
    """
    nodes = meta_graph.object_graph_def.nodes
    found: dict[str, str] = {}
    for child in _children(nodes, 0):
        if child.local_name != _SIGNATURES:
            continue
        for signature in _children(nodes, child.node_id):
            for function in _functions_of(nodes, signature.node_id):
                found[signature.local_name] = function
    return found


def check_operators(
    meta_graph: Any, signature: str, is_known: Callable[[str], bool]
) -> None:
    """Refuse what must not run.

    Parameters
    ----------
    meta_graph : message MetaGraphDef
    signature : str
        The signature that will be loaded.
    is_known : callable
        Has TensorFlow itself an operator of this name? Asked only where one would be
        refused anyway.

    Raises
    ------
    UnsafeModelError
        An operator reaches files, other processes or Python, or is not TensorFlow's.
    UnsupportedOpError
        Operators that cannot be translated.
    ModelFormatError
        A function is missing.

    Examples
    --------
    >>> check_operators(saved.meta_graphs[0], "serving_default", bool)  # doctest: +SKIP
    """
    bodies = {
        function.signature.name: function.node_def
        for function in meta_graph.graph_def.library.function
    }
    if len(bodies) != len(meta_graph.graph_def.library.function):
        raise ModelFormatError("two functions of saved_model.pb have one name")
    objects = meta_graph.object_graph_def
    for function, op in _operators(
        bodies, [entry.key for entry in objects.concrete_functions]
    ):
        if _UNSAFE.fullmatch(op):
            raise UnsafeModelError(
                f"function {function!r} has the operator {op!r}, which reaches files, "
                "other processes or Python: it is not loaded"
            )
    _check_what_runs(_operators(bodies, _called(objects, signature)), is_known)


def _check_what_runs(
    operators: Iterable[tuple[str, str]], is_known: Callable[[str], bool]
) -> None:
    left = {op: function for function, op in operators if op not in CONVERTIBLE}
    for op, function in left.items():
        if _UNSAFE.fullmatch(op) or not is_known(op):
            raise UnsafeModelError(
                f"function {function!r} has the operator {op!r}, which is not one of "
                "TensorFlow's own: libraries of operators are not loaded"
            )
    if left:
        shown = [f"{op} (in {function})" for op, function in sorted(left.items())]
        more = f" and {len(left) - _MAX_SHOWN} more" if len(left) > _MAX_SHOWN else ""
        raise UnsupportedOpError(
            f"operators that have no counterpart in ONNX: "
            f"{', '.join(shown[:_MAX_SHOWN])}{more}"
        )


def _called(objects: Any, signature: str) -> list[str]:
    """Functions that loading this signature runs."""
    nodes = objects.nodes
    called: list[str] = []
    for child in _children(nodes, 0):
        if child.local_name == _SIGNATURES:
            for entry in _children(nodes, child.node_id):
                if entry.local_name == signature:
                    called += _functions_of(nodes, entry.node_id)
    for index, node in enumerate(nodes):
        for child in _children(nodes, index):
            if child.local_name in _CALLED:
                called += _functions_of(nodes, child.node_id)
        for saveable in node.saveable_objects:
            called += _functions_of(nodes, saveable.value.restore_function)
            called += _functions_of(nodes, saveable.value.save_function)
    return called


def _children(nodes: Any, index: int) -> Any:
    if not 0 <= index < len(nodes):
        raise ModelFormatError(f"saved_model.pb speaks of object {index}, has none")
    return nodes[index].children


def _functions_of(nodes: Any, index: int) -> list[str]:
    """Names of the functions that an object stands for."""
    _children(nodes, index)
    node = nodes[index]
    bare = node.bare_concrete_function.concrete_function_name
    return [*node.function.concrete_functions, *([bare] if bare else [])]


def _operators(bodies: dict[str, Any], roots: list[str]) -> Iterator[tuple[str, str]]:
    """(function, operator) of all that these functions can call."""
    seen = set(roots)
    waiting = sorted(seen)
    while waiting:
        name = waiting.pop()
        if name not in bodies:
            raise ModelFormatError(f"saved_model.pb has no function {name!r}")
        for node in bodies[name]:
            called = [x for entry in node.attr for x in _named(entry.value)]
            if node.op in bodies:
                called.append(node.op)
            else:
                yield name, node.op
            for other in called:
                if other not in seen and other in bodies:
                    seen.add(other)
                    waiting.append(other)


def _named(value: Any) -> Iterator[str]:
    """Functions that an attribute names, however deep."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name
            waiting.extend(entry.value for entry in function.attr)
