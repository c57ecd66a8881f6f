/* trimtab._core: the module, its state and its types. */
#include "bind/array.h"
#include "bind/table.h"

tt_state *tt_state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

PyObject *tt_dict_of_ints(const tt_named_int *items)
{
    PyObject *dict = PyDict_New();
    for (; dict != NULL && items->name != NULL; ++items) {
        PyObject *value = PyLong_FromLongLong(items->value);
        if (value == NULL || PyDict_SetItemString(dict, items->name, value) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    return dict;
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **out)
{
    *out = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *out == NULL ? -1 : PyModule_AddType(module, *out);
}

static int intern_names(tt_state *state)
{
#define INTERN(name) \
    if ((state->name##_keyword = PyUnicode_InternFromString(#name)) == NULL) return -1;
    TT_KEYWORD_LIST(INTERN)
#undef INTERN
    state->dlpack_name = PyUnicode_InternFromString("__dlpack__");
    return state->dlpack_name == NULL ? -1 : 0;
}

static int import_numpy(tt_state *state)
{
    PyObject *numpy;
    if (tt_array_import(state) < 0) return -1;
    numpy = PyImport_ImportModule("numpy");
    if (numpy == NULL) return -1;
    state->from_dlpack = PyObject_GetAttrString(numpy, "from_dlpack");
    Py_DECREF(numpy);
    return state->from_dlpack == NULL ? -1 : 0;
}

/* PASSES: {"fold": (bit, what it does), ...} */
static int add_passes(PyObject *module)
{
    PyObject *passes = PyDict_New();
    if (passes == NULL) return -1;
#define ADD_PASS(code, name, text)                                                 \
    do {                                                                           \
        PyObject *item = Py_BuildValue("(is)", code, text);                        \
        int failed = item == NULL || PyDict_SetItemString(passes, name, item) < 0; \
        Py_XDECREF(item);                                                          \
        if (failed) {                                                              \
            Py_DECREF(passes);                                                     \
            return -1;                                                             \
        }                                                                          \
    } while (0);
    TT_PASS_LIST(ADD_PASS)
#undef ADD_PASS
    if (PyModule_AddObject(module, "PASSES", passes) == 0) return 0;
    Py_DECREF(passes);
    return -1;
}

static int module_exec(PyObject *module)
{
    tt_state *state = tt_state_of(module);
    if (intern_names(state) < 0 || import_numpy(state) < 0) return -1;
    if (tt_errors_import(state) < 0 || tt_main_thread_find(state) < 0) return -1;
    if (add_type(module, &tt_model_spec, &state->model_type) < 0) return -1;
    if (add_type(module, &tt_program_spec, &state->program_type) < 0) return -1;
    if (add_type(module, &tt_binding_spec, &state->binding_type) < 0) return -1;
    if (add_type(module, &tt_histogram_spec, &state->histogram_type) < 0) return -1;
    if (add_type(module, &tt_channel_statistics_spec, &state->channel_statistics_type) <
        0)
        return -1;
    if (add_type(module, &tt_watcher_spec, &state->watcher_type) < 0) return -1;
    if (add_type(module, &tt_table_sketch_spec, &state->table_sketch_type) < 0)
        return -1;
    if (PyModule_AddFunctions(module, tt_image_functions) < 0) return -1;
    if (PyModule_AddFunctions(module, tt_look_functions) < 0) return -1;
    if (PyModule_AddFunctions(module, tt_optimizer_functions) < 0) return -1;
    return add_passes(module);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    tt_state *state = tt_state_of(module);
    if (state == NULL) return 0;
    Py_VISIT(state->model_type);
    Py_VISIT(state->program_type);
    Py_VISIT(state->binding_type);
    Py_VISIT(state->histogram_type);
    Py_VISIT(state->channel_statistics_type);
    Py_VISIT(state->watcher_type);
    Py_VISIT(state->table_sketch_type);
    for (int i = 0; i < TT_STATUS_COUNT; ++i)
        Py_VISIT(state->errors[i]);
    for (int i = 0; i < TT_DTYPE_COUNT; ++i)
        Py_VISIT(state->dtypes[i]);
    Py_VISIT(state->from_dlpack);
    return 0;
}

static int module_clear(PyObject *module)
{
    tt_state *state = tt_state_of(module);
    if (state == NULL) return 0;
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->program_type);
    Py_CLEAR(state->binding_type);
    Py_CLEAR(state->histogram_type);
    Py_CLEAR(state->channel_statistics_type);
    Py_CLEAR(state->watcher_type);
    Py_CLEAR(state->table_sketch_type);
    for (int i = 0; i < TT_STATUS_COUNT; ++i)
        Py_CLEAR(state->errors[i]);
    for (int i = 0; i < TT_DTYPE_COUNT; ++i)
        Py_CLEAR(state->dtypes[i]);
    Py_CLEAR(state->from_dlpack);
    Py_CLEAR(state->dlpack_name);
#define CLEAR(name) Py_CLEAR(state->name##_keyword);
    TT_KEYWORD_LIST(CLEAR)
#undef CLEAR
    return 0;
}

static void module_free(void *module)
{
    (void)module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    TT_SLOT(Py_mod_exec, module_exec),
#if PY_VERSION_HEX >= 0x030C0000
    /* NumPy cannot live in a second interpreter */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0,                            NULL                                      },
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "trimtab._core",
    .m_doc = "The engine, as Python sees it.",
    .m_size = sizeof(tt_state),
    .m_methods = tt_module_functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
