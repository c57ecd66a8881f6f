/* Windows of one block of channels for items of type ITEM: see pool_grad.c. */

/* Largest of the window, then its gradient to where that was; src and out are those of
 * the image. */
static void NAME(largest)(const tt_pool_kernel *k, const spot *s, const ITEM *src,
                          const ITEM *grad, ITEM *out)
{
    ITEM best[BLOCK];
    int32_t chosen[BLOCK], i = 0;
    FOR_WINDOW(k, s, offset)
    {
        const ITEM *x = src + offset;
        for (int64_t c = 0; c < s->n_channels; ++c) {
            bool better = i == 0 || x[c] > best[c] || x[c] != x[c];
            best[c] = better ? x[c] : best[c];
            chosen[c] = better ? i : chosen[c];
        }
        ++i;
    }
    i = 0;
    FOR_WINDOW(k, s, offset)
    {
        ITEM *to = out + offset;
        for (int64_t c = 0; c < s->n_channels; ++c)
            to[c] += chosen[c] == i ? grad[c] : (ITEM)0;
        ++i;
    }
}

static void NAME(mean)(const tt_pool_kernel *k, const spot *s, const ITEM *grad,
                       ITEM *out)
{
    ITEM part = (ITEM)(1.0 / (double)s->count);
    FOR_WINDOW(k, s, offset)
    {
        ITEM *to = out + offset;
        for (int64_t c = 0; c < s->n_channels; ++c)
            to[c] += grad[c] * part;
    }
}

static void NAME(clear)(const tt_pool_kernel *k, ITEM *out, int64_t n_channels)
{
    const int64_t *step = &k->src_strides[2];
    for (int64_t d = 0; d < k->src[0]; ++d)
        for (int64_t h = 0; h < k->src[1]; ++h)
            for (int64_t w = 0; w < k->src[2]; ++w)
                memset(out + d * step[0] + h * step[1] + w * step[2], 0,
                       (size_t)n_channels * sizeof *out);
}

/* Image n, channels [first, first + n_channels). */
static void NAME(block)(const job *j, int64_t n, int64_t first, int64_t n_channels)
{
    const tt_pool_kernel *k = j->pool;
    int64_t at[3], in = n * k->src_strides[0] + first;
    const ITEM *src = j->src == NULL ? NULL : (const ITEM *)j->src + in;
    const ITEM *grad = (const ITEM *)j->grad + n * k->dst_strides[0] + first;
    ITEM *out = (ITEM *)j->out + in;
    NAME(clear)(k, out, n_channels);
    for (at[0] = 0; at[0] < k->dst[0]; ++at[0])
        for (at[1] = 0; at[1] < k->dst[1]; ++at[1])
            for (at[2] = 0; at[2] < k->dst[2]; ++at[2]) {
                const ITEM *g = grad + at[0] * k->dst_strides[2] +
                                at[1] * k->dst_strides[3] + at[2] * k->dst_strides[4];
                spot s = find(k, at, n_channels);
                if (k->mode != TT_POOL_MAX)
                    NAME(mean)(k, &s, g, out);
                else if (j->window == NULL ||
                         !run_window(k, j->window, &s, (const void *)src,
                                     (const void *)g, (void *)out))
                    NAME(largest)(k, &s, src, g, out);
            }
}
