/* Reading of equations: see einsum.h.  One pass over the text, no recursion. */
#include <string.h>

#include "ops/einsum.h"
#include "ops/fail.h"

/* A term as it stands in the text. */
typedef struct {
    int n, labels[TT_MAX_RANK]; /* letters */
    int ellipsis;               /* letters before it, -1: there is none */
} raw_term;

typedef struct {
    const tt_site *site;
    const char *equation, *at;
    int n_terms;
    raw_term terms[TT_EINSUM_OPERANDS], out;
    bool has_out;
    int n_ellipsis; /* dims of the widest one */
} reader;

static tt_status bad(const reader *r, tt_error *err, const char *what)
{
    return tt_fail_at(r->site->node, err, TT_BAD_MODEL, "equation '%.80s': %s",
                      r->equation, what);
}

static int letter_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    return c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

/* Up to the next ',' or '->' or the end. */
static tt_status read_term(reader *r, raw_term *out, tt_error *err)
{
    *out = (raw_term){.ellipsis = -1};
    for (; *r->at != '\0' && *r->at != ',' && *r->at != '-'; ++r->at) {
        int label = letter_of(*r->at);
        if (*r->at == ' ') continue;
        if (strncmp(r->at, "...", 3) == 0) {
            if (out->ellipsis >= 0) return bad(r, err, "a term has two ellipses");
            out->ellipsis = out->n;
            r->at += 2;
            continue;
        }
        if (label < 0)
            return bad(r, err, "expected letters, '...', ',', '->' and spaces");
        if (out->n == TT_MAX_RANK) return bad(r, err, "a term has too many letters");
        out->labels[out->n++] = label;
    }
    return TT_OK;
}

static tt_status read_text(reader *r, tt_error *err)
{
    r->at = r->equation;
    for (;;) {
        if (r->n_terms == TT_EINSUM_OPERANDS)
            return tt_fail_at(r->site->node, err, TT_LIMIT, "more than %d operands",
                              TT_EINSUM_OPERANDS);
        TT_TRY(read_term(r, &r->terms[r->n_terms++], err));
        if (*r->at != ',') break;
        ++r->at;
    }
    if (*r->at == '\0') return TT_OK;
    if (r->at[1] != '>') return bad(r, err, "'-' without '>'");
    r->at += 2;
    r->has_out = true;
    TT_TRY(read_term(r, &r->out, err));
    return *r->at == '\0' ? TT_OK : bad(r, err, "expected one term behind '->'");
}

/* The term with `n_ellipsis` dims for its ellipsis. */
static tt_status expand(const reader *r, const raw_term *raw, int n_ellipsis,
                        tt_einsum_term *out, tt_error *err)
{
    out->rank = 0;
    if (raw->n + n_ellipsis > TT_MAX_RANK)
        return tt_fail_at(r->site->node, err, TT_LIMIT,
                          "a term of rank %d, at most %d is supported",
                          raw->n + n_ellipsis, TT_MAX_RANK);
    for (int i = 0; i <= raw->n; ++i) {
        for (int k = 0; i == raw->ellipsis && k < n_ellipsis; ++k)
            out->labels[out->rank++] = TT_EINSUM_LABELS - n_ellipsis + k;
        if (i < raw->n) out->labels[out->rank++] = raw->labels[i];
    }
    return TT_OK;
}

static tt_status read_dims(reader *r, int i, tt_einsum *out, tt_error *err)
{
    const raw_term *raw = &r->terms[i];
    const tt_shape *shape = tt_input_shape(r->site, i);
    tt_einsum_term *term = &out->terms[i];
    int n_ellipsis = shape->rank - raw->n;
    if (n_ellipsis < 0 || (n_ellipsis > 0 && raw->ellipsis < 0))
        return tt_fail_at(r->site->node, err, TT_BAD_MODEL,
                          "equation '%.80s': term %d has %d letters, input %d has %d "
                          "dims",
                          r->equation, i, raw->n, i, shape->rank);
    if (n_ellipsis > r->n_ellipsis) r->n_ellipsis = n_ellipsis;
    TT_TRY(expand(r, raw, n_ellipsis, term, err));
    for (int k = 0; k < term->rank; ++k) {
        int64_t *dim = &out->dims[term->labels[k]];
        if (*dim < 0 || *dim == 1) *dim = shape->dims[k];
        if (shape->dims[k] != 1 && shape->dims[k] != *dim)
            return tt_fail_at(
                r->site->node, err, TT_BAD_MODEL,
                "equation '%.80s': a label stands for %lld and, in dim %d "
                "of input %d, for %lld",
                r->equation, (long long)*dim, k, i, (long long)shape->dims[k]);
    }
    return TT_OK;
}

/* Without '->': the ellipsis, then the letters that occur once. */
static tt_status imply_out(reader *r, tt_error *err)
{
    int count[TT_EINSUM_LETTERS] = {0};
    r->out = (raw_term){.ellipsis = 0};
    for (int i = 0; i < r->n_terms; ++i)
        for (int k = 0; k < r->terms[i].n; ++k)
            ++count[r->terms[i].labels[k]];
    for (int label = 0; label < TT_EINSUM_LETTERS; ++label) {
        if (count[label] != 1) continue;
        if (r->out.n == TT_MAX_RANK)
            return tt_fail_at(r->site->node, err, TT_LIMIT,
                              "the result has more than %d dims", TT_MAX_RANK);
        r->out.labels[r->out.n++] = label;
    }
    return TT_OK;
}

static tt_status check_out(const reader *r, const tt_einsum *e, tt_error *err)
{
    uint64_t seen = 0;
    for (int i = 0; i < e->out.rank; ++i) {
        uint64_t bit = UINT64_C(1) << e->out.labels[i];
        if (e->dims[e->out.labels[i]] < 0)
            return bad(r, err, "the result has a letter that no input has");
        if ((seen & bit) != 0) return bad(r, err, "the result has a letter twice");
        seen |= bit;
    }
    return TT_OK;
}

tt_status tt_einsum_read(const tt_site *site, tt_einsum *out, tt_error *err)
{
    const tt_node *node = site->node;
    reader r = {.site = site};
    if (tt_attribute_find(node, "equation") == NULL)
        return tt_fail_at(node, err, TT_BAD_MODEL, "attribute '%s' is missing",
                          "equation");
    TT_TRY(tt_attribute_string(node, "equation", "", &r.equation, err));
    TT_TRY(read_text(&r, err));
    if (r.n_terms != node->n_inputs)
        return bad(&r, err, "one term per input is needed");
    TT_TRY(tt_need_inputs(site, node->n_inputs, err));
    out->n_terms = r.n_terms;
    for (int i = 0; i < TT_EINSUM_LABELS; ++i)
        out->dims[i] = -1;
    for (int i = 0; i < r.n_terms; ++i)
        TT_TRY(read_dims(&r, i, out, err));
    if (!r.has_out) TT_TRY(imply_out(&r, err));
    TT_TRY(expand(&r, &r.out, r.out.ellipsis < 0 ? 0 : r.n_ellipsis, &out->out, err));
    return check_out(&r, out, err);
}
