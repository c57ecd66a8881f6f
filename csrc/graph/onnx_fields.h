/* The messages of onnx-ml.proto as far as their cost in memory goes: one line per
 * field, in the order of the descriptor, from which tests/formats/test_onnx_gate.py
 * makes this table again and compares. */
#ifndef TT_GRAPH_ONNX_FIELDS_H
#define TT_GRAPH_ONNX_FIELDS_H

/* X(message) */
#define TT_ONNX_MESSAGE_LIST(X)  \
    X(MODEL)                     \
    X(GRAPH)                     \
    X(NODE)                      \
    X(ATTRIBUTE)                 \
    X(TENSOR)                    \
    X(TENSOR_SEGMENT)            \
    X(STRING_STRING_ENTRY)       \
    X(TYPE)                      \
    X(TYPE_TENSOR)               \
    X(TENSOR_SHAPE)              \
    X(TENSOR_SHAPE_DIMENSION)    \
    X(TYPE_SEQUENCE)             \
    X(TYPE_MAP)                  \
    X(TYPE_OPAQUE)               \
    X(TYPE_SPARSE_TENSOR)        \
    X(TYPE_OPTIONAL)             \
    X(SPARSE_TENSOR)             \
    X(NODE_DEVICE_CONFIGURATION) \
    X(SHARDING_SPEC)             \
    X(INT_INT_LIST_ENTRY)        \
    X(SHARDED_DIM)               \
    X(SIMPLE_SHARDED_DIM)        \
    X(VALUE_INFO)                \
    X(TENSOR_ANNOTATION)         \
    X(OPERATOR_SET_ID)           \
    X(TRAINING_INFO)             \
    X(FUNCTION)                  \
    X(DEVICE_CONFIGURATION)

/* X(message, field number, kind, message of the field or NONE): TEXT is a string
 * or bytes, NUMBER a single number, the plurals are repeated numbers. */
#define TT_ONNX_FIELD_LIST(X)                               \
    X(MODEL, 1, NUMBER, NONE)                               \
    X(MODEL, 2, TEXT, NONE)                                 \
    X(MODEL, 3, TEXT, NONE)                                 \
    X(MODEL, 4, TEXT, NONE)                                 \
    X(MODEL, 5, NUMBER, NONE)                               \
    X(MODEL, 6, TEXT, NONE)                                 \
    X(MODEL, 7, MESSAGE, GRAPH)                             \
    X(MODEL, 8, MESSAGE, OPERATOR_SET_ID)                   \
    X(MODEL, 14, MESSAGE, STRING_STRING_ENTRY)              \
    X(MODEL, 20, MESSAGE, TRAINING_INFO)                    \
    X(MODEL, 25, MESSAGE, FUNCTION)                         \
    X(MODEL, 26, MESSAGE, DEVICE_CONFIGURATION)             \
    X(GRAPH, 1, MESSAGE, NODE)                              \
    X(GRAPH, 2, TEXT, NONE)                                 \
    X(GRAPH, 5, MESSAGE, TENSOR)                            \
    X(GRAPH, 10, TEXT, NONE)                                \
    X(GRAPH, 11, MESSAGE, VALUE_INFO)                       \
    X(GRAPH, 12, MESSAGE, VALUE_INFO)                       \
    X(GRAPH, 13, MESSAGE, VALUE_INFO)                       \
    X(GRAPH, 14, MESSAGE, TENSOR_ANNOTATION)                \
    X(GRAPH, 15, MESSAGE, SPARSE_TENSOR)                    \
    X(GRAPH, 16, MESSAGE, STRING_STRING_ENTRY)              \
    X(NODE, 1, TEXT, NONE)                                  \
    X(NODE, 2, TEXT, NONE)                                  \
    X(NODE, 3, TEXT, NONE)                                  \
    X(NODE, 4, TEXT, NONE)                                  \
    X(NODE, 5, MESSAGE, ATTRIBUTE)                          \
    X(NODE, 6, TEXT, NONE)                                  \
    X(NODE, 7, TEXT, NONE)                                  \
    X(NODE, 8, TEXT, NONE)                                  \
    X(NODE, 9, MESSAGE, STRING_STRING_ENTRY)                \
    X(NODE, 10, MESSAGE, NODE_DEVICE_CONFIGURATION)         \
    X(ATTRIBUTE, 1, TEXT, NONE)                             \
    X(ATTRIBUTE, 2, NUMBER, NONE)                           \
    X(ATTRIBUTE, 3, NUMBER, NONE)                           \
    X(ATTRIBUTE, 4, TEXT, NONE)                             \
    X(ATTRIBUTE, 5, MESSAGE, TENSOR)                        \
    X(ATTRIBUTE, 6, MESSAGE, GRAPH)                         \
    X(ATTRIBUTE, 7, FLOATS, NONE)                           \
    X(ATTRIBUTE, 8, INT64S, NONE)                           \
    X(ATTRIBUTE, 9, TEXT, NONE)                             \
    X(ATTRIBUTE, 10, MESSAGE, TENSOR)                       \
    X(ATTRIBUTE, 11, MESSAGE, GRAPH)                        \
    X(ATTRIBUTE, 13, TEXT, NONE)                            \
    X(ATTRIBUTE, 14, MESSAGE, TYPE)                         \
    X(ATTRIBUTE, 15, MESSAGE, TYPE)                         \
    X(ATTRIBUTE, 20, NUMBER, NONE)                          \
    X(ATTRIBUTE, 21, TEXT, NONE)                            \
    X(ATTRIBUTE, 22, MESSAGE, SPARSE_TENSOR)                \
    X(ATTRIBUTE, 23, MESSAGE, SPARSE_TENSOR)                \
    X(TENSOR, 1, INT64S, NONE)                              \
    X(TENSOR, 2, NUMBER, NONE)                              \
    X(TENSOR, 3, MESSAGE, TENSOR_SEGMENT)                   \
    X(TENSOR, 4, FLOATS, NONE)                              \
    X(TENSOR, 5, INT32S, NONE)                              \
    X(TENSOR, 6, TEXT, NONE)                                \
    X(TENSOR, 7, INT64S, NONE)                              \
    X(TENSOR, 8, TEXT, NONE)                                \
    X(TENSOR, 9, TEXT, NONE)                                \
    X(TENSOR, 10, DOUBLES, NONE)                            \
    X(TENSOR, 11, INT64S, NONE)                             \
    X(TENSOR, 12, TEXT, NONE)                               \
    X(TENSOR, 13, MESSAGE, STRING_STRING_ENTRY)             \
    X(TENSOR, 14, NUMBER, NONE)                             \
    X(TENSOR, 16, MESSAGE, STRING_STRING_ENTRY)             \
    X(TENSOR_SEGMENT, 1, NUMBER, NONE)                      \
    X(TENSOR_SEGMENT, 2, NUMBER, NONE)                      \
    X(STRING_STRING_ENTRY, 1, TEXT, NONE)                   \
    X(STRING_STRING_ENTRY, 2, TEXT, NONE)                   \
    X(TYPE, 1, MESSAGE, TYPE_TENSOR)                        \
    X(TYPE, 4, MESSAGE, TYPE_SEQUENCE)                      \
    X(TYPE, 5, MESSAGE, TYPE_MAP)                           \
    X(TYPE, 6, TEXT, NONE)                                  \
    X(TYPE, 7, MESSAGE, TYPE_OPAQUE)                        \
    X(TYPE, 8, MESSAGE, TYPE_SPARSE_TENSOR)                 \
    X(TYPE, 9, MESSAGE, TYPE_OPTIONAL)                      \
    X(TYPE_TENSOR, 1, NUMBER, NONE)                         \
    X(TYPE_TENSOR, 2, MESSAGE, TENSOR_SHAPE)                \
    X(TENSOR_SHAPE, 1, MESSAGE, TENSOR_SHAPE_DIMENSION)     \
    X(TENSOR_SHAPE_DIMENSION, 1, NUMBER, NONE)              \
    X(TENSOR_SHAPE_DIMENSION, 2, TEXT, NONE)                \
    X(TENSOR_SHAPE_DIMENSION, 3, TEXT, NONE)                \
    X(TYPE_SEQUENCE, 1, MESSAGE, TYPE)                      \
    X(TYPE_MAP, 1, NUMBER, NONE)                            \
    X(TYPE_MAP, 2, MESSAGE, TYPE)                           \
    X(TYPE_OPAQUE, 1, TEXT, NONE)                           \
    X(TYPE_OPAQUE, 2, TEXT, NONE)                           \
    X(TYPE_SPARSE_TENSOR, 1, NUMBER, NONE)                  \
    X(TYPE_SPARSE_TENSOR, 2, MESSAGE, TENSOR_SHAPE)         \
    X(TYPE_OPTIONAL, 1, MESSAGE, TYPE)                      \
    X(SPARSE_TENSOR, 1, MESSAGE, TENSOR)                    \
    X(SPARSE_TENSOR, 2, MESSAGE, TENSOR)                    \
    X(SPARSE_TENSOR, 3, INT64S, NONE)                       \
    X(NODE_DEVICE_CONFIGURATION, 1, TEXT, NONE)             \
    X(NODE_DEVICE_CONFIGURATION, 2, MESSAGE, SHARDING_SPEC) \
    X(NODE_DEVICE_CONFIGURATION, 3, NUMBER, NONE)           \
    X(SHARDING_SPEC, 1, TEXT, NONE)                         \
    X(SHARDING_SPEC, 2, INT64S, NONE)                       \
    X(SHARDING_SPEC, 3, MESSAGE, INT_INT_LIST_ENTRY)        \
    X(SHARDING_SPEC, 4, MESSAGE, SHARDED_DIM)               \
    X(INT_INT_LIST_ENTRY, 1, NUMBER, NONE)                  \
    X(INT_INT_LIST_ENTRY, 2, INT64S, NONE)                  \
    X(SHARDED_DIM, 1, NUMBER, NONE)                         \
    X(SHARDED_DIM, 2, MESSAGE, SIMPLE_SHARDED_DIM)          \
    X(SIMPLE_SHARDED_DIM, 1, NUMBER, NONE)                  \
    X(SIMPLE_SHARDED_DIM, 2, TEXT, NONE)                    \
    X(SIMPLE_SHARDED_DIM, 3, NUMBER, NONE)                  \
    X(VALUE_INFO, 1, TEXT, NONE)                            \
    X(VALUE_INFO, 2, MESSAGE, TYPE)                         \
    X(VALUE_INFO, 3, TEXT, NONE)                            \
    X(VALUE_INFO, 4, MESSAGE, STRING_STRING_ENTRY)          \
    X(TENSOR_ANNOTATION, 1, TEXT, NONE)                     \
    X(TENSOR_ANNOTATION, 2, MESSAGE, STRING_STRING_ENTRY)   \
    X(OPERATOR_SET_ID, 1, TEXT, NONE)                       \
    X(OPERATOR_SET_ID, 2, NUMBER, NONE)                     \
    X(TRAINING_INFO, 1, MESSAGE, GRAPH)                     \
    X(TRAINING_INFO, 2, MESSAGE, GRAPH)                     \
    X(TRAINING_INFO, 3, MESSAGE, STRING_STRING_ENTRY)       \
    X(TRAINING_INFO, 4, MESSAGE, STRING_STRING_ENTRY)       \
    X(FUNCTION, 1, TEXT, NONE)                              \
    X(FUNCTION, 4, TEXT, NONE)                              \
    X(FUNCTION, 5, TEXT, NONE)                              \
    X(FUNCTION, 6, TEXT, NONE)                              \
    X(FUNCTION, 7, MESSAGE, NODE)                           \
    X(FUNCTION, 8, TEXT, NONE)                              \
    X(FUNCTION, 9, MESSAGE, OPERATOR_SET_ID)                \
    X(FUNCTION, 10, TEXT, NONE)                             \
    X(FUNCTION, 11, MESSAGE, ATTRIBUTE)                     \
    X(FUNCTION, 12, MESSAGE, VALUE_INFO)                    \
    X(FUNCTION, 13, TEXT, NONE)                             \
    X(FUNCTION, 14, MESSAGE, STRING_STRING_ENTRY)           \
    X(DEVICE_CONFIGURATION, 1, TEXT, NONE)                  \
    X(DEVICE_CONFIGURATION, 2, NUMBER, NONE)                \
    X(DEVICE_CONFIGURATION, 3, TEXT, NONE)

#endif
