/* Walks down trees from where their tops end (or from the root), several rows or trees
 * side by side, so that their loads do not wait for each other. */
#include "kernels/forest.h"

enum { TOGETHER = 4 };

/* Next node of one lane. */
#define STEP(nodes, bits, mask, at, KEY)     \
    (int32_t)(((nodes)[at].link >> (bits)) + \
              (KEY((nodes)[at].link & (mask)) > (nodes)[at].threshold))

#define LANE_0(offset) keys[offset]
#define LANE_1(offset) keys[(offset) + 1]
#define LANE_2(offset) keys[(offset) + 2]
#define LANE_3(offset) keys[(offset) + 3]

/* Four rows, from reached[] on: at most max levels; the first min without a look at
 * whether all stand still. */
#define WALK_ROWS(name, key_type, node_type, link_type)                          \
    static void name(const node_type *nodes, int bits, int32_t min, int32_t max, \
                     const key_type *keys, int32_t *reached)                     \
    {                                                                            \
        const link_type mask = ((link_type)1 << bits) - 1;                       \
        int32_t a = reached[0], b = reached[1], c = reached[2], d = reached[3];  \
        for (; min > 0; --min, --max) {                                          \
            a = STEP(nodes, bits, mask, a, LANE_0);                              \
            b = STEP(nodes, bits, mask, b, LANE_1);                              \
            c = STEP(nodes, bits, mask, c, LANE_2);                              \
            d = STEP(nodes, bits, mask, d, LANE_3);                              \
        }                                                                        \
        for (; max > 0; --max) {                                                 \
            int32_t e = STEP(nodes, bits, mask, a, LANE_0);                      \
            int32_t f = STEP(nodes, bits, mask, b, LANE_1);                      \
            int32_t g = STEP(nodes, bits, mask, c, LANE_2);                      \
            int32_t h = STEP(nodes, bits, mask, d, LANE_3);                      \
            int32_t moved = (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h);               \
            a = e;                                                               \
            b = f;                                                               \
            c = g;                                                               \
            d = h;                                                               \
            if (moved == 0) break;                                               \
        }                                                                        \
        reached[0] = a;                                                          \
        reached[1] = b;                                                          \
        reached[2] = c;                                                          \
        reached[3] = d;                                                          \
    }

WALK_ROWS(four_rows, int32_t, tt_forest_node, uint32_t)
WALK_ROWS(four_rows_wide, int64_t, tt_forest_wide_node, uint64_t)

void tt_forest_walk(const tt_forest *forest, const tt_forest_tree *tree,
                    const void *keys, int64_t n, int32_t done, int32_t *reached)
{
    const int64_t group = (int64_t)forest->n_features * TT_FOREST_GROUP;
    const tt_forest_node *narrow = tt_forest_at(forest, forest->nodes);
    const tt_forest_wide_node *wide = tt_forest_at(forest, forest->nodes);
    const int32_t min = tree->min_depth - done, max = tree->max_depth - done;
    for (int64_t i = 0; i < n; i += TOGETHER) {
        int64_t at = i / TT_FOREST_GROUP * group + i % TT_FOREST_GROUP;
        if (forest->is_wide)
            four_rows_wide(wide + tree->first, forest->feature_bits, min, max,
                           (const int64_t *)keys + at, reached + i);
        else
            four_rows(narrow + tree->first, forest->feature_bits, min, max,
                      (const int32_t *)keys + at, reached + i);
    }
}

#define ONLY(offset) keys[(offset) / TT_FOREST_GROUP]

void tt_forest_walk_trees(const tt_forest *forest, const int32_t *keys,
                          int32_t *reached)
{
    const tt_forest_tree *tree = tt_forest_at(forest, forest->trees);
    const tt_forest_node *nodes = tt_forest_at(forest, forest->nodes);
    const int bits = forest->feature_bits;
    const uint32_t mask = ((uint32_t)1 << bits) - 1;
    for (int32_t t = 0; t < forest->n_trees; t += TOGETHER) {
        const tt_forest_node *roots[TOGETHER];
        int32_t at[TOGETHER] = {0}, max = 0, moved = 1;
        for (int32_t i = 0; i < TOGETHER; ++i) { /* past the end: the last again */
            const tt_forest_tree *its =
                tree + (t + i < forest->n_trees ? t + i : forest->n_trees - 1);
            roots[i] = nodes + its->first;
            if (its->max_depth > max) max = its->max_depth;
        }
        for (; max > 0 && moved != 0; --max) {
            moved = 0;
            for (int32_t i = 0; i < TOGETHER; ++i) {
                int32_t next = STEP(roots[i], bits, mask, at[i], ONLY);
                moved |= next ^ at[i];
                at[i] = next;
            }
        }
        for (int32_t i = 0; i < TOGETHER && t + i < forest->n_trees; ++i)
            reached[t + i] = at[i];
    }
}
