/* What the C++ files of this folder share: dnnl.h, owned handles, and the guard
 * that no exception passes.  Nobody else includes this.
 *
 * Inside, a failed oneDNN call throws `failure` and handles are owned by RAII
 * objects; `guarded` turns whatever was thrown into a tt_status at the border.
 * oneDNN itself lets std::bad_alloc escape from its C functions, which is why
 * every call stands inside a guard. */
#ifndef TT_DNNL_HANDLES_HPP
#define TT_DNNL_HANDLES_HPP

#include <memory>
#include <new>
#include <type_traits>

#include <dnnl.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "dnnl/dnnl_shim.h"

static_assert(DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 2,
              "oneDNN 3.2 or a later 3.x is needed");

enum { N_QUANT = 6 }; /* scales and zero points of src, weights, dst */

struct tt_engine {
    dnnl_engine_t handle;
    dnnl_stream_t stream; /* stateless on a CPU, so shared by all threads */
    bool staging;
    bool has_own_memory; /* a device, or SYCL: asynchronous, staged always */
};

struct tt_prim {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t handle;
    const char *impl;
    int quant_mask[N_QUANT]; /* of TT_ARG_SRC_SCALE + i */
    bool reads_dst;          /* a sum post-op adds to what dst holds */
};

struct tt_layout {
    dnnl_memory_desc_t md;
};

/* Where a staged argument comes from and goes to. */
struct slot {
    void *host;
    size_t bytes;
    bool is_read, is_written;
};

struct tt_call {
    const tt_prim *prim;
    dnnl_stream_t stream, own_stream;
    int n_args;
    dnnl_exec_arg_t *args;
    slot *slots; /* NULL unless the engine stages */
};

namespace shim {

struct failure {
    dnnl_status_t status;
};

inline void check(dnnl_status_t status)
{
    if (status != dnnl_success) throw failure{status};
}

inline const char *status_name(dnnl_status_t status)
{
    switch (status) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented";
    case dnnl_runtime_error:
        return "run-time error";
    default:
        return "unexpected status";
    }
}

template <class Body> tt_status guarded(const char *what, tt_error *err, Body body)
{
    try {
        body();
        return TT_OK;
    } catch (const failure &f) {
        tt_status code = TT_INTERNAL;
        if (f.status == dnnl_out_of_memory) code = TT_NO_MEMORY;
        if (f.status == dnnl_unimplemented) code = TT_UNSUPPORTED;
        return tt_fail(err, code, "oneDNN: %s: %s", what, status_name(f.status));
    } catch (const std::bad_alloc &) {
        return tt_fail(err, TT_NO_MEMORY, "oneDNN: %s: out of memory", what);
    } catch (...) {
        return tt_fail(err, TT_INTERNAL, "oneDNN: %s: unknown exception", what);
    }
}

/* A zeroed object from the allocator that tests can make fail. */
template <class T> T *fresh(size_t count = 1)
{
    static_assert(std::is_trivial<T>::value, "plain data only");
    void *block = tt_calloc(count, sizeof(T));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<T *>(block);
}

struct deleter {
    void operator()(dnnl_memory_desc_t p) const
    {
        (void)dnnl_memory_desc_destroy(p);
    }
    void operator()(dnnl_primitive_attr_t p) const
    {
        (void)dnnl_primitive_attr_destroy(p);
    }
    void operator()(dnnl_post_ops_t p) const
    {
        (void)dnnl_post_ops_destroy(p);
    }
    void operator()(dnnl_primitive_desc_t p) const
    {
        (void)dnnl_primitive_desc_destroy(p);
    }
    void operator()(tt_engine *p) const
    {
        tt_engine_free(p);
    }
    void operator()(tt_prim *p) const
    {
        tt_prim_free(p);
    }
    void operator()(tt_layout *p) const
    {
        tt_layout_free(p);
    }
    void operator()(tt_call *p) const
    {
        tt_call_free(p);
    }
};
template <class T> using owned = std::unique_ptr<T, deleter>;

/* ---- in dnnl_shim.cpp ----------------------------------------------------- */

int arg_code(tt_arg arg);
/* The tensor whose dims the mask of quantisation argument i speaks of. */
tt_arg quant_tensor(int i);
owned<dnnl_memory_desc> make_md(const tt_md &md); /* nullptr when absent */
owned<dnnl_primitive_attr> user_scratchpad_attr();
/* Takes desc. */
void finish_prim(dnnl_primitive_desc_t desc, const tt_attr &attr, tt_prim **out);

/* A dnnl_dims_t of the window arguments, which callers give for 3 dims at most. */
struct window {
    dnnl_dims_t dims = {};
    explicit window(const int64_t *values)
    {
        memcpy(dims, values, TT_MAX_SPATIAL * sizeof *values);
    }
};

/* ---- in dnnl_call.cpp ------------------------------------------------------ */

/* The description of an argument; nullptr when the primitive has no such one. */
owned<dnnl_memory_desc> arg_md(const tt_prim *prim, tt_arg arg);

} // namespace shim

#endif
