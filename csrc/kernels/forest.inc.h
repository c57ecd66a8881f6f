/* The top of a tree for LANES rows at once; compiled per instruction set, after a target
 * pragma and these macros: VECTOR, LOAD, MASK, ABOVE(keys, threshold), SELECT(mask, a, b)
 * (a where the mask is set) and EXIT(top, masks).
 *
 * All 15 comparisons of the first four levels are made, whose keys lie side by side; each
 * level then picks, among the results of its nodes, the one of the node that was
 * reached. */

static void top(const tt_forest *forest, const tt_forest_top *nodes,
                const int32_t *keys, int64_t n_groups, int32_t *reached)
{
    const int64_t group = (int64_t)forest->n_features * TT_FOREST_GROUP;
    for (int64_t v = 0; v < n_groups * (TT_FOREST_GROUP / LANES); ++v) {
        const int32_t *at =
            keys + v * LANES / TT_FOREST_GROUP * group + v * LANES % TT_FOREST_GROUP;
        MASK m[TT_FOREST_TOP], way[TT_FOREST_TOP_LEVELS];
        for (int i = 0; i < TT_FOREST_TOP; ++i)
            m[i] = ABOVE(LOAD(at + nodes->offset[i]), nodes->threshold[i]);
        way[0] = m[0];
        way[1] = SELECT(way[0], m[2], m[1]);
        way[2] = SELECT(way[0], SELECT(way[1], m[6], m[5]), SELECT(way[1], m[4], m[3]));
        way[3] = SELECT(
            way[0],
            SELECT(way[1], SELECT(way[2], m[14], m[13]), SELECT(way[2], m[12], m[11])),
            SELECT(way[1], SELECT(way[2], m[10], m[9]), SELECT(way[2], m[8], m[7])));
        STORE_EXIT(reached + v * LANES, nodes->exits, way);
    }
}
