/* oneDNN's engines, and what the linked library is: see dnnl_shim.h. */
#include <cstring>

#include "dnnl/dnnl_handles.hpp"

using namespace shim;

extern "C" {

void tt_dnnl_info_get(tt_dnnl_info *info)
{
    static const struct {
        int code;
        const char *name;
    } isas[] = {
        {0x1,    "sse41"               },
        {0x3,    "avx"                 },
        {0x7,    "avx2"                },
        {0xf,    "avx2_vnni"           },
        {0x1f,   "avx2_vnni_2"         },
        {0x27,   "avx512_core"         },
        {0x67,   "avx512_core_vnni"    },
        {0xe7,   "avx512_core_bf16"    },
        {0x1ef,  "avx512_core_fp16"    },
        {0xfef,  "avx512_core_amx"     },
        {0x1fef, "avx512_core_amx_fp16"},
    };
    const dnnl_version_t *version = dnnl_version();
    int isa = 0;
    *info = {version->major, version->minor, version->patch, version->hash,
             "other",        "none",         "unknown",      0};
    switch (version->cpu_runtime) {
    case DNNL_RUNTIME_SEQ:
        info->cpu_runtime = "sequential";
        break;
    case DNNL_RUNTIME_OMP:
        info->cpu_runtime = "omp";
        break;
    case DNNL_RUNTIME_TBB:
        info->cpu_runtime = "tbb";
        break;
    case DNNL_RUNTIME_THREADPOOL:
        info->cpu_runtime = "threadpool";
        break;
    case DNNL_RUNTIME_SYCL:
        info->cpu_runtime = "sycl";
        break;
    default:
        break;
    }
    if (version->gpu_runtime == DNNL_RUNTIME_OCL) info->gpu_runtime = "ocl";
    if (version->gpu_runtime == DNNL_RUNTIME_SYCL) info->gpu_runtime = "sycl";
    (void)guarded("reading the CPU's features", nullptr, [&] {
        isa = (int)dnnl_get_effective_cpu_isa();
        info->n_gpus = (int)dnnl_engine_get_count(dnnl_gpu);
    });
    for (const auto &known : isas)
        if (known.code == isa) info->effective_isa = known.name;
}

tt_status tt_dnnl_set_cache_capacity(int n_primitives, tt_error *err)
{
    return guarded("setting the primitive cache's capacity", err,
                   [&] { check(dnnl_set_primitive_cache_capacity(n_primitives)); });
}

static tt_status gpu_is_there(tt_error *err)
{
    tt_dnnl_info info;
    tt_dnnl_info_get(&info);
    if (info.n_gpus > 0) return TT_OK;
    if (strcmp(info.gpu_runtime, "none") == 0)
        return tt_fail(err, TT_NO_DEVICE,
                       "device 'gpu': oneDNN %d.%d.%d (%s) was built without a GPU "
                       "runtime; build with ONEDNN_ROOT pointing at one that has it, "
                       "or use device='cpu'",
                       info.major, info.minor, info.patch, info.cpu_runtime);
    return tt_fail(err, TT_NO_DEVICE,
                   "device 'gpu': oneDNN's %s runtime finds no GPU; install the "
                   "device's driver (Level Zero or OpenCL), or use device='cpu'",
                   info.gpu_runtime);
}

tt_status tt_engine_new(tt_device device, bool staging, tt_engine **out, tt_error *err)
{
    bool is_gpu = device == TT_DEVICE_GPU;
    *out = nullptr;
    if (is_gpu) TT_TRY(gpu_is_there(err));
    return guarded("creating an engine", err, [&] {
        owned<tt_engine> engine(fresh<tt_engine>());
        check(dnnl_engine_create(&engine->handle, is_gpu ? dnnl_gpu : dnnl_cpu, 0));
        check(dnnl_stream_create(&engine->stream, engine->handle,
                                 dnnl_stream_default_flags));
        engine->has_own_memory =
            is_gpu || dnnl_version()->cpu_runtime == DNNL_RUNTIME_SYCL;
        engine->staging = staging || engine->has_own_memory;
        *out = engine.release();
    });
}

void tt_engine_free(tt_engine *engine)
{
    if (engine == nullptr) return;
    (void)guarded("freeing an engine", nullptr, [&] {
        if (engine->stream != nullptr) (void)dnnl_stream_destroy(engine->stream);
        if (engine->handle != nullptr) (void)dnnl_engine_destroy(engine->handle);
    });
    tt_free(engine);
}

} /* extern "C" */
