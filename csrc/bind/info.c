/* Functions of the module: what this machine and this build can do. */
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/peaks.h"
#include "base/threads.h"
#include "bind/module.h"
#include "dnnl/dnnl_exact.h"
#include "graph/onnx_gate.h"
#include "kernels/winograd_u8s8.h"
#include "ops/op.h"

static PyObject *cpu_info(PyObject *module, PyObject *ignored)
{
    const tt_cpu *cpu = tt_cpu_get();
    (void)module;
    (void)ignored;
    return Py_BuildValue(
        "{sssssisnsnsnsNsNsNsNsNsN}", "brand", cpu->brand, "isa", tt_isa_name(cpu->isa),
        "n_threads", cpu->n_threads, "l1d_bytes", (Py_ssize_t)cpu->l1d_bytes,
        "l2_bytes", (Py_ssize_t)cpu->l2_bytes, "l3_bytes", (Py_ssize_t)cpu->l3_bytes,
        "avx_vnni", PyBool_FromLong(cpu->has_avx_vnni), "avx512_vnni",
        PyBool_FromLong(cpu->has_avx512_vnni), "avx512_bf16",
        PyBool_FromLong(cpu->has_avx512_bf16), "avx512_fp16",
        PyBool_FromLong(cpu->has_avx512_fp16), "amx", PyBool_FromLong(cpu->has_amx),
        "multiplies_bf16", PyBool_FromLong(tt_cpu_multiplies_bf16(cpu)));
}

typedef struct {
    bool is_exact;
    tt_error *err;
} exactness;

static tt_status test_exactness(void *arg)
{
    exactness *e = arg;
    tt_engine *engine;
    tt_status status;
    TT_TRY(tt_engine_new(TT_DEVICE_CPU, /*staging=*/false, &engine, e->err));
    status = tt_dnnl_is_exact(engine, &e->is_exact, e->err);
    tt_engine_free(engine);
    return status;
}

/* Do products of two bytes add up exactly? */
static tt_status find_exactness(bool *out, tt_error *err)
{
    exactness e = {.err = err};
    tt_arena *arena;
    tt_status status;
    TT_TRY(tt_arena_new(1, &arena, err));
    status = tt_arena_run(arena, test_exactness, &e, err);
    tt_arena_free(arena);
    *out = e.is_exact;
    return status;
}

static PyObject *dnnl_info(PyObject *module, PyObject *ignored)
{
    tt_dnnl_info info;
    bool is_exact;
    tt_error err = {0};
    tt_status status = find_exactness(&is_exact, &err);
    (void)ignored;
    if (status != TT_OK) return tt_raise(tt_state_of(module), status, &err);
    tt_dnnl_info_get(&info);
    return Py_BuildValue(
        "{sNsssssssssisssNsN}", "version",
        PyUnicode_FromFormat("%d.%d.%d", info.major, info.minor, info.patch), "hash",
        info.hash, "cpu_runtime", info.cpu_runtime, "gpu_runtime", info.gpu_runtime,
        "effective_isa", info.effective_isa, "n_gpus", info.n_gpus, "threads_runtime",
        tt_threads_runtime(), "exact_int8", PyBool_FromLong(is_exact), "winograd_int8",
        PyBool_FromLong(tt_winograd_u8s8_is_fast()));
}

/* {field: (default, what it bounds)} */
static PyObject *limits_default(PyObject *module, PyObject *ignored)
{
    PyObject *dict = PyDict_New();
    tt_limits limits = tt_limits_default();
    (void)module;
    (void)ignored;
    if (dict == NULL) return NULL;
#define ADD_FIELD(field, value, text)                                              \
    do {                                                                           \
        PyObject *item = Py_BuildValue("(Ls)", (long long)limits.field, text);     \
        int failed = item == NULL || PyDict_SetItemString(dict, #field, item) < 0; \
        Py_XDECREF(item);                                                          \
        if (failed) {                                                              \
            Py_DECREF(dict);                                                       \
            return NULL;                                                           \
        }                                                                          \
    } while (0);
    TT_LIMITS_LIST(ADD_FIELD)
#undef ADD_FIELD
    return dict;
}

/* What becomes of a node, as far as its record tells. */
static const char *runs_as(const tt_op *op)
{
    if (op->is_control_flow) return "control flow";
    if (op->is_reshape) return "view";
    if (op->reads_shape_only) return "compiling";
    if (op->eval != NULL) return "data";
    return op->emit != NULL ? "elementwise" : "steps";
}

/* A dict for each record of the table; until 0: no end. */
static PyObject *operators(PyObject *module, PyObject *ignored)
{
    PyObject *list = PyList_New(0);
    const tt_op *op;
    (void)module;
    (void)ignored;
    for (int i = 0; list != NULL && (op = tt_op_at(i)) != NULL; ++i) {
        bool moves = op->takes_strings || op->takes_sequences || op->is_control_flow;
        PyObject *item = Py_BuildValue(
            "{sssssisisssssO}", "name", op->name, "domain", op->domain, "since",
            op->since, "until", op->until, "summary", op->summary, "runs", runs_as(op),
            "takes_strings", moves ? Py_True : Py_False);
        if (item == NULL || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* has_operator(domain, name, version) -> bool */
static PyObject *has_operator(PyObject *module, PyObject *args)
{
    const char *domain, *name;
    int version;
    (void)module;
    if (!PyArg_ParseTuple(args, "ssi:has_operator", &domain, &name, &version))
        return NULL;
    return PyBool_FromLong(tt_op_find(domain, name, version) != NULL);
}

static PyObject *digest(PyObject *module, PyObject *data)
{
    Py_buffer view;
    tt_hash hash;
    (void)module;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    hash = tt_hash_bytes(view.buf, (size_t)view.len, /*seed=*/0);
    PyBuffer_Release(&view);
    return PyBytes_FromStringAndSize((const char *)hash.word, sizeof hash.word);
}

static PyObject *crc32c(PyObject *module, PyObject *data)
{
    Py_buffer view;
    uint32_t crc;
    (void)module;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    crc = tt_crc32c(view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLong(crc);
}

/* onnx_gate(data, limits=None): raises what the gate refuses */
static PyObject *onnx_gate(PyObject *module, PyObject *args)
{
    PyObject *limits_object = NULL;
    Py_buffer data;
    tt_limits limits;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    if (!PyArg_ParseTuple(args, "y*|O:onnx_gate", &data, &limits_object)) return NULL;
    if (tt_limits_read(limits_object, &limits) < 0) {
        PyBuffer_Release(&data);
        return NULL;
    }
    tt_unlock(&unlocked, tt_state_of(module));
    status = tt_onnx_gate(data.buf, (size_t)data.len, &limits, &err);
    tt_relock(&unlocked);
    PyBuffer_Release(&data);
    if (status != TT_OK) return tt_raise(tt_state_of(module), status, &err);
    Py_RETURN_NONE;
}

static PyObject *measure_peaks(PyObject *module, PyObject *args)
{
    int n_threads = 1;
    tt_peaks peaks;
    tt_unlocked unlocked;
    tt_error err = {0};
    tt_status status;
    if (!PyArg_ParseTuple(args, "|i:measure_peaks", &n_threads)) return NULL;
    tt_unlock(&unlocked, tt_state_of(module));
    status = tt_peaks_measure(n_threads, &peaks, &err);
    tt_relock(&unlocked);
    if (status != TT_OK) return tt_raise(tt_state_of(module), status, &err);
    return Py_BuildValue("{sisdsdsdsdsdsd}", "n_threads", n_threads, "f32_gops",
                         peaks.f32_gops, "bf16_gops", peaks.bf16_gops, "int8_gops",
                         peaks.int8_gops, "l2_gbps", peaks.l2_gbps, "l3_gbps",
                         peaks.l3_gbps, "memory_gbps", peaks.memory_gbps);
}

static PyObject *fail_alloc(PyObject *module, PyObject *args)
{
    long long k;
    int sticky = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "L|p:fail_alloc", &k, &sticky)) return NULL;
    return PyLong_FromLongLong(tt_alloc_fail_at(k, sticky != 0));
}

PyMethodDef tt_module_functions[] = {
    {"cpu_info",        cpu_info,             METH_NOARGS,  "cpu_info()\n\nThe processor, as a dict."      },
    {"dnnl_info",       dnnl_info,            METH_NOARGS,
     "dnnl_info()\n\nThe linked oneDNN, as a dict."                                                        },
    {"limits_default",  limits_default,       METH_NOARGS,
     "limits_default()\n\n{field: (value, what it bounds)}"                                                },
    {"operators",       operators,            METH_NOARGS,
     "operators()\n\nname, domain, since, until, summary, runs and takes_strings of "
     "each, as dicts."                                                                                     },
    {"has_operator",    has_operator,         METH_VARARGS,
     "has_operator(domain, name, version)\n\nIs there a record for this opset?"                            },
    {"onnx_gate",       onnx_gate,            METH_VARARGS,
     "onnx_gate(data, limits=None)\n\nRaise if protobuf must not parse these bytes."                       },
    {"measure_peaks",   measure_peaks,        METH_VARARGS,
     "measure_peaks(threads=1)\n\nArithmetic and bandwidth, measured now."                                 },
    {"digest",          digest,               METH_O,
     "digest(data)\n\n16 bytes that tell contents apart; not cryptographic."                               },
    {"crc32c",          crc32c,               METH_O,       "crc32c(data)\n\nCRC-32C (Castagnoli), an int."},
    {"keep_descriptor", tt_descriptor_keeper, METH_O,
     "keep_descriptor(descriptor)\n\nAn object that closes it when it goes."                               },
    {"fail_alloc",      fail_alloc,           METH_VARARGS,
     "fail_alloc(k, sticky=False)\n\nTest hook: the k-th allocation fails; 0: off. "
     "Returns the number of allocations since the last call."                                              },
    {NULL,              NULL,                 0,            NULL                                           },
};
