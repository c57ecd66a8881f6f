/* Winograd convolution of bytes: packing, dealing tiles to threads in groups that pass
 * through L2; and the version without vectors.  See winograd_u8s8.h. */
#include "kernels/winograd_u8s8.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"

enum {
    PLANES = TT_WINOGRAD_PLANES,
    TILES = TT_WINOGRAD_TILES,
    WIDE = TT_CONV_U8S8_WIDE,
    GROUP = 4,     /* bytes of a dot product */
    ALIGNMENT = 64 /* of rows; and what keeps planes off each other's sets */
};

bool tt_winograd_u8s8_is_fast(void)
{
    return tt_conv_u8s8_is_fast() && !tt_cpu_get()->has_amx;
}

static const tt_winograd_u8s8_table *table(void)
{
#ifdef __x86_64__
    if (tt_conv_u8s8_is_fast()) return &tt_winograd_u8s8_vnni;
#endif
    return &tt_winograd_u8s8_scalar;
}

const char *tt_winograd_u8s8_name(void)
{
    return table()->name;
}

bool tt_winograd_u8s8_can(const tt_conv_u8s8 *k)
{
    int64_t last = k->dst_channels % WIDE;
    return k->kernel_h == 3 && k->kernel_w == 3 && k->stride_h == 1 &&
           k->stride_w == 1 && (last == 0 || last > TT_CONV_U8S8_NARROW);
}

static int64_t whole(int64_t n, int64_t of)
{
    return (n + of - 1) / of * of;
}

static int64_t count_tiles(const tt_conv_u8s8 *k)
{
    return k->batch * ((k->dst_h + 1) / 2) * ((k->dst_w + 1) / 2);
}

/* ---- weights -------------------------------------------------------------------- */

/* 4 G g G^T: integers of at most 9 x 128. */
static void transform(const int8_t *g, int64_t row, int64_t column, int32_t u[PLANES])
{
    int32_t half[4][3];
    for (int x = 0; x < 3; ++x) {
        int32_t a = g[x * column], b = g[row + x * column], c = g[2 * row + x * column];
        half[0][x] = 2 * a;
        half[1][x] = a + b + c;
        half[2][x] = a - b + c;
        half[3][x] = 2 * c;
    }
    for (int y = 0; y < 4; ++y) {
        const int32_t *h = half[y];
        u[4 * y] = 2 * h[0];
        u[4 * y + 1] = h[0] + h[1] + h[2];
        u[4 * y + 2] = h[0] - h[1] + h[2];
        u[4 * y + 3] = 2 * h[2];
    }
}

bool tt_winograd_u8s8_packed_bytes(const int64_t dims[4], size_t *out)
{
    size_t planes = PLANES * (size_t)((dims[0] + WIDE - 1) / WIDE);
    return tt_mul_size(planes, (size_t)tt_winograd_u8s8_plane_bytes(dims[1]), out);
}

/* A dst channel in one panel: largest values first, for the steps. */
static void pack_channel(const int8_t *weights, int64_t n, const int64_t strides[4],
                         int64_t place, int8_t *panel)
{
    int64_t plane = tt_winograd_u8s8_plane_bytes(n);
    int64_t ends = whole(n, GROUP) * WIDE; /* totals, then steps */
    int32_t u[PLANES], most[PLANES] = {0}, totals[PLANES] = {0};
    float steps[PLANES];
    for (int64_t i = 0; i < n; ++i) {
        transform(weights + i * strides[1], strides[2], strides[3], u);
        for (int p = 0; p < PLANES; ++p)
            if (most[p] < (u[p] < 0 ? -u[p] : u[p])) most[p] = u[p] < 0 ? -u[p] : u[p];
    }
    for (int p = 0; p < PLANES; ++p)
        steps[p] = (float)most[p] / 127.0f;
    for (int64_t i = 0; i < n; ++i) {
        transform(weights + i * strides[1], strides[2], strides[3], u);
        for (int p = 0; p < PLANES; ++p) {
            float x = most[p] > 0 ? (float)u[p] * 127.0f / (float)most[p] : 0.0f;
            int8_t w = (int8_t)lrintf(x);
            totals[p] += w;
            panel[p * plane + (i / GROUP * WIDE + place) * GROUP + i % GROUP] = w;
        }
    }
    for (int p = 0; p < PLANES; ++p) {
        int8_t *end = panel + p * plane + ends;
        memcpy(end + place * 4, &totals[p], sizeof totals[p]);
        memcpy(end + (WIDE + place) * 4, &steps[p], sizeof steps[p]);
    }
}

/* [panel][plane]: [group of channels][place][channel], totals and steps by place. */
void tt_winograd_u8s8_pack(const int8_t *weights, const int64_t dims[4],
                           const int64_t strides[4], void *packed)
{
    int64_t panel = PLANES * tt_winograd_u8s8_plane_bytes(dims[1]);
    memset(packed, 0, (size_t)(panel * ((dims[0] + WIDE - 1) / WIDE)));
    for (int64_t c = 0; c < dims[0]; ++c)
        pack_channel(weights + c * strides[0], dims[1], strides,
                     tt_conv_u8s8_place(dims[0], c) % WIDE,
                     (int8_t *)packed + c / WIDE * panel);
}

/* ---- running -------------------------------------------------------------------- */

/* The groups of a call: as many tiles as keep inputs and products in half of L2, a
 * multiple of what the products take at once. */
typedef struct {
    int64_t tiles, row, input_plane, product_plane; /* product_plane: floats */
    int64_t inputs, products, end;                  /* bytes of a slot's scratch */
} grouping;

static grouping group_tiles(const tt_conv_u8s8 *k)
{
    grouping g = {.row = whole(k->src_channels, ALIGNMENT)};
    int64_t all = count_tiles(k), each = (all + k->n_slots - 1) / k->n_slots;
    int64_t tile = PLANES * (g.row + WIDE * (int64_t)sizeof(float));
    int64_t fit = (int64_t)tt_cpu_get()->l2_bytes / 2 / tile;
    if (fit > each) fit = each;
    fit = fit < TILES ? TILES : fit;
    each = (each + fit - 1) / fit; /* groups of about one size */
    g.tiles = whole((all + each * k->n_slots - 1) / (each * k->n_slots), TILES);
    g.input_plane = g.tiles * g.row + ALIGNMENT;
    g.product_plane = g.tiles * WIDE + ALIGNMENT / (int64_t)sizeof(float);
    g.inputs = g.row;
    g.products = g.inputs + PLANES * g.input_plane;
    g.end = g.products + PLANES * g.product_plane * (int64_t)sizeof(float);
    return g;
}

size_t tt_winograd_u8s8_scratch_bytes(const tt_conv_u8s8 *k)
{
    return (size_t)group_tiles(k).end * (size_t)k->n_slots;
}

void tt_winograd_u8s8_locate(const tt_winograd_u8s8_group *g, int64_t tile,
                             const uint8_t *from[PLANES])
{
    const tt_conv_u8s8 *k = g->kernel;
    int64_t across = (k->dst_w + 1) / 2, down = (k->dst_h + 1) / 2;
    int64_t left = tile % across * 2 - k->pad_w;
    int64_t top = tile / across % down * 2 - k->pad_h;
    const uint8_t *image =
        g->src + tile / (across * down) * k->src_h * k->src_w * k->src_channels;
    for (int64_t y = 0; y < 4; ++y)
        for (int64_t x = 0; x < 4; ++x) {
            bool is_there = top + y >= 0 && top + y < k->src_h && left + x >= 0 &&
                            left + x < k->src_w;
            from[y * 4 + x] =
                is_there ? image + ((top + y) * k->src_w + left + x) * k->src_channels
                         : g->outside;
        }
}

tt_winograd_u8s8_place tt_winograd_u8s8_place_of(const tt_conv_u8s8 *k, int64_t tile)
{
    int64_t across = (k->dst_w + 1) / 2, down = (k->dst_h + 1) / 2;
    int64_t left = tile % across * 2, top = tile / across % down * 2;
    int64_t row = tile / (across * down) * k->dst_h + top;
    return (tt_winograd_u8s8_place){.at = (row * k->dst_w + left) * k->dst_channels,
                                    .down = k->dst_w * k->dst_channels,
                                    .across = k->dst_channels,
                                    .rows = k->dst_h - top < 2 ? 1 : 2,
                                    .columns = k->dst_w - left < 2 ? 1 : 2};
}

typedef struct {
    const tt_conv_u8s8 *kernel;
    const tt_winograd_u8s8_table *table;
    void *const *ptrs;
    grouping size;
} winograd_call;

static void run_group(const winograd_call *call, const tt_winograd_u8s8_group *group)
{
    const tt_conv_u8s8 *k = call->kernel;
    int64_t bytes = PLANES * tt_winograd_u8s8_plane_bytes(k->src_channels);
    call->table->inputs(group);
    for (int64_t c = 0; c < k->dst_channels; c += WIDE) {
        int64_t left = k->dst_channels - c;
        tt_winograd_u8s8_panel panel = {
            .group = group,
            .weights =
                (const int8_t *)call->ptrs[TT_CONV_U8S8_WEIGHTS] + c / WIDE * bytes,
            .multiplier = (const float *)call->ptrs[TT_CONV_U8S8_MULTIPLIER] + c,
            .offset = (const float *)call->ptrs[TT_CONV_U8S8_OFFSET] + c,
            .dst = (uint8_t *)call->ptrs[TT_CONV_U8S8_DST] +
                   (size_t)c * (k->dst == TT_F32 ? sizeof(float) : 1),
            .n_channels = (int)(left < WIDE ? left : WIDE)};
        panel.next = left > WIDE ? panel.weights + bytes
                                 : (const int8_t *)call->ptrs[TT_CONV_U8S8_WEIGHTS];
        if (k->sum != TT_DTYPE_NONE)
            panel.sum = (const uint8_t *)call->ptrs[TT_CONV_U8S8_SUM] + c;
        call->table->products(&panel);
        call->table->outputs(&panel);
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const winograd_call *call = arg;
    const tt_conv_u8s8 *k = call->kernel;
    const grouping *size = &call->size;
    int64_t all = count_tiles(k), groups = (all + size->tiles - 1) / size->tiles;
    for (int64_t slot = begin; slot < end; ++slot) {
        char *scratch = (char *)call->ptrs[TT_CONV_U8S8_SCRATCH] + slot * size->end;
        tt_winograd_u8s8_group g = {.kernel = k,
                                    .src = call->ptrs[TT_CONV_U8S8_SRC],
                                    .outside = (uint8_t *)scratch,
                                    .inputs = (uint8_t *)scratch + size->inputs,
                                    .products =
                                        (float *)(void *)(scratch + size->products),
                                    .row = size->row,
                                    .input_plane = size->input_plane,
                                    .product_plane = size->product_plane};
        int64_t last = groups * (slot + 1) / k->n_slots;
        memset(g.outside, k->src_zero_point, (size_t)size->row);
        for (int64_t i = groups * slot / k->n_slots; i < last; ++i) {
            g.first = i * size->tiles;
            g.n = all - g.first < size->tiles ? all - g.first : size->tiles;
            run_group(call, &g);
        }
    }
}

tt_status tt_winograd_u8s8_run(const void *params, void *const *ptrs, tt_error *err)
{
    winograd_call call = {.kernel = params, .table = table(), .ptrs = ptrs};
    (void)err;
    call.size = group_tiles(call.kernel);
    tt_parallel_for(call.kernel->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}

/* ---- without vectors ------------------------------------------------------------ */

/* B^T d of one line, from places `step` apart. */
static void forward(const int32_t *d, int step, int32_t *v)
{
    int32_t a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    v[0] = a - c;
    v[step] = b + c;
    v[2 * step] = c - b;
    v[3 * step] = b - e;
}

static void inputs_scalar(const tt_winograd_u8s8_group *g)
{
    for (int64_t i = 0; i < g->n; ++i) {
        const uint8_t *from[PLANES];
        tt_winograd_u8s8_locate(g, g->first + i, from);
        for (int64_t c = 0; c < g->kernel->src_channels; ++c) {
            int32_t d[PLANES], half = c % 2 == 0 ? 2 : 1;
            for (int p = 0; p < PLANES; ++p)
                d[p] = from[p][c];
            for (int x = 0; x < 4; ++x)
                forward(d + x, 4, d + x);
            for (int y = 0; y < 4; ++y)
                forward(d + 4 * y, 1, d + 4 * y);
            for (int p = 0; p < PLANES; ++p) {
                int32_t zero = p == TT_WINOGRAD_SUMS ? 0 : 4 * TT_WINOGRAD_ZERO;
                int32_t v = (d[p] + zero + half) / 4;
                g->inputs[p * g->input_plane + i * g->row + c] =
                    (uint8_t)(v < 255 ? v : 255);
            }
        }
    }
}

static float product(const tt_winograd_u8s8_group *g, const uint8_t *inputs, int plane,
                     const int8_t *weights, int place)
{
    int64_t n = g->kernel->src_channels;
    const int8_t *end = weights + whole(n, GROUP) * WIDE;
    int32_t sum;
    float step;
    memcpy(&sum, end + place * 4, sizeof sum);
    memcpy(&step, end + (WIDE + place) * 4, sizeof step);
    sum *= -tt_winograd_u8s8_zero(g->kernel, plane);
    for (int64_t i = 0; i < n; ++i)
        sum += inputs[i] * weights[(i / GROUP * WIDE + place) * GROUP + i % GROUP];
    return (float)sum * step;
}

static void products_scalar(const tt_winograd_u8s8_panel *panel)
{
    const tt_winograd_u8s8_group *g = panel->group;
    int64_t bytes = tt_winograd_u8s8_plane_bytes(g->kernel->src_channels);
    for (int p = 0; p < PLANES; ++p)
        for (int64_t i = 0; i < g->n; ++i)
            for (int c = 0; c < WIDE; ++c)
                g->products[p * g->product_plane + i * WIDE + c] =
                    product(g, g->inputs + p * g->input_plane + i * g->row, p,
                            panel->weights + p * bytes, c);
}

static void store(const tt_winograd_u8s8_panel *panel, int64_t at, int64_t place,
                  float x)
{
    const tt_conv_u8s8 *k = panel->group->kernel;
    x = fmaf(x, panel->multiplier[place], panel->offset[place]);
    if (k->sum == TT_U8) x = fmaf(panel->sum[at], k->sum_scale, x);
    if (k->sum == TT_S8) x = fmaf((int8_t)panel->sum[at], k->sum_scale, x);
    x = x < k->high ? x : k->high;
    x = x > k->low ? x : k->low;
    if (k->dst == TT_F32)
        ((float *)(void *)panel->dst)[at] = x;
    else
        panel->dst[at] =
            k->dst == TT_U8 ? (uint8_t)rintf(x) : (uint8_t)(int8_t)rintf(x);
}

static void outputs_scalar(const tt_winograd_u8s8_panel *panel)
{
    const tt_winograd_u8s8_group *g = panel->group;
    for (int64_t i = 0; i < g->n; ++i) {
        tt_winograd_u8s8_place to = tt_winograd_u8s8_place_of(g->kernel, g->first + i);
        for (int c = 0; c < panel->n_channels; ++c) {
            int64_t place = tt_conv_u8s8_place(WIDE, c);
            float half[2][4];
            for (int x = 0; x < 4; ++x) {
                const float *m = g->products + x * g->product_plane + i * WIDE + place;
                float b = m[4 * g->product_plane], d = m[8 * g->product_plane];
                half[0][x] = m[0] + (b + d);
                half[1][x] = (b - d) - m[12 * g->product_plane];
            }
            for (int y = 0; y < to.rows; ++y) {
                const float *h = half[y];
                int64_t at = to.at + y * to.down + c;
                store(panel, at, place, h[0] + (h[1] + h[2]));
                if (to.columns > 1)
                    store(panel, at + to.across, place, (h[1] - h[2]) - h[3]);
            }
        }
    }
}

const tt_winograd_u8s8_table tt_winograd_u8s8_scalar = {
    .name = "winograd_u8s8:scalar",
    .inputs = inputs_scalar,
    .products = products_scalar,
    .outputs = outputs_scalar,
};
