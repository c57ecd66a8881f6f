"""Which classes of Keras have a rule, and where it is.

The allow-list: what is not here is refused. A file's names are only looked up.
"""

from __future__ import annotations

__all__ = ["LAYERS"]


def _each(names: str, rule: str) -> dict[str, str]:
    """One rule for several classes."""
    return dict.fromkeys(names.split(), rule)


#: class name -> ``module:function`` in `trimtab.formats.keras.layers`; a rule takes a
#: `LayerContext` and gives a `Tensor` or several
LAYERS: dict[str, str] = {
    # models
    "Functional": "model:functional",
    "Model": "model:functional",
    "Sequential": "model:sequential",
    # matrices
    "Dense": "dense:dense",
    "EinsumDense": "dense:einsum_dense",
    "Embedding": "dense:embedding",
    # activations
    "Activation": "activations:activation",
    "PReLU": "activations:prelu",
    **_each(
        "ReLU LeakyReLU ELU ThresholdedReLU Softmax", "activations:activation_layer"
    ),
    # convolution
    **_each("Conv1D Conv2D Conv3D", "conv:conv"),
    **_each("Convolution1D Convolution2D Convolution3D", "conv:conv"),
    **_each("Conv1DTranspose Conv2DTranspose Conv3DTranspose", "conv:conv_transpose"),
    **_each("Convolution2DTranspose Convolution3DTranspose", "conv:conv_transpose"),
    **_each("DepthwiseConv1D DepthwiseConv2D", "conv:depthwise_conv"),
    **_each("SeparableConv1D SeparableConv2D", "conv:separable_conv"),
    **_each("SeparableConvolution1D SeparableConvolution2D", "conv:separable_conv"),
    # pooling
    **_each("MaxPooling1D MaxPooling2D MaxPooling3D", "pooling:pooling"),
    **_each("AveragePooling1D AveragePooling2D AveragePooling3D", "pooling:pooling"),
    **_each(
        "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D "
        "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D",
        "pooling:global_pooling",
    ),
    **_each(
        "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D "
        "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D",
        "pooling:adaptive_pooling",
    ),
    # normalisation
    "BatchNormalization": "norm:batch_norm",
    "BatchNormalizationV1": "norm:batch_norm",
    "SyncBatchNormalization": "norm:batch_norm",
    "LayerNormalization": "norm:layer_norm",
    "GroupNormalization": "norm:group_norm",
    "RMSNormalization": "norm:rms_norm",
    "UnitNormalization": "norm:unit_norm",
    "SpectralNormalization": "norm:spectral_norm",
    # several tensors
    **_each("Add Subtract Multiply Average Maximum Minimum", "merge:elementwise"),
    "Concatenate": "merge:concatenate",
    "Dot": "merge:dot",
    # shapes
    "Reshape": "reshape:reshape",
    "Flatten": "reshape:flatten",
    "Permute": "reshape:permute",
    "RepeatVector": "reshape:repeat_vector",
    **_each("ZeroPadding1D ZeroPadding2D ZeroPadding3D", "reshape:zero_padding"),
    **_each("Cropping1D Cropping2D Cropping3D", "reshape:cropping"),
    **_each("UpSampling1D UpSampling2D UpSampling3D", "reshape:up_sampling"),
    # nothing at inference
    **_each(
        "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout "
        "GaussianDropout GaussianNoise ActivityRegularization Identity",
        "regular:identity",
    ),
    "Masking": "regular:masking",
    # recurrent layers
    **_each("LSTM GRU SimpleRNN RNN CuDNNLSTM CuDNNGRU", "recurrent:recurrent"),
    **_each("ConvLSTM1D ConvLSTM2D ConvLSTM3D", "conv_lstm:conv_lstm"),
    "Bidirectional": "wrappers:bidirectional",
    "TimeDistributed": "wrappers:time_distributed",
    # attention
    "MultiHeadAttention": "attention:multi_head_attention",
    "GroupQueryAttention": "attention:group_query_attention",
    "Attention": "attention:attention",
    "AdditiveAttention": "attention:additive_attention",
    # preprocessing
    "Rescaling": "scaling:rescaling",
    "Normalization": "scaling:normalization",
    "CategoryEncoding": "categories:category_encoding",
    "Discretization": "categories:discretization",
    "IntegerLookup": "categories:integer_lookup",
    **_each(
        "StringLookup TextVectorization Hashing HashedCrossing",
        "categories:refuse_strings",
    ),
    "STFTSpectrogram": "spectrogram:stft_spectrogram",
    "MelSpectrogram": "spectrogram:mel_spectrogram",
    "Resizing": "images:resizing",
    "CenterCrop": "images:center_crop",
    "RandomCrop": "images:random_crop",
    **_each(
        "AugMix CutMix Equalization MaxNumBoundingBoxes MixUp RandAugment "
        "RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast "
        "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur "
        "RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective "
        "RandomPosterization RandomRotation RandomSaturation RandomSharpness "
        "RandomShear RandomTranslation RandomWidth RandomZoom Solarization",
        "images:augmentation",
    ),
    # TensorFlow's calls; operations of keras.ops are in layers/operations.py
    **_each("TFOpLambda SlicingOpLambda", "operations:tensorflow_operation"),
    # recurrent layers, attention and preprocessing: one block each, below
}
