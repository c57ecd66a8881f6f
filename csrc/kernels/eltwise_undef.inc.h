/* Forgets the parameters of eltwise_int.inc.h, for the next type. */
#undef T
#undef U
#undef BITS
#undef IS_SIGNED
#undef LOWEST
#undef LARGEST
#undef N
#undef SELECT_ENTRY
