/* How many different values came by, estimated from 128 bytes.
 *
 * A value's hash chooses a register, which keeps the longest run of zeros its hashes
 * ended with: registers of parts, merged by their maximum, are those of the whole.
 * Flajolet, Fusy, Gandouet & Meunier, "HyperLogLog" (2007), with the estimator of Ertl,
 * "New cardinality estimation algorithms for HyperLogLog sketches" (2017), which needs
 * no corrections.  Standard error 1.04 / sqrt(128) = 9 %; hashes have 32 bits, so beyond
 * 10^9 values it says too little. */
#ifndef TT_WATCH_DISTINCT_H
#define TT_WATCH_DISTINCT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    TT_DISTINCT_REGISTERS = 128,
    TT_DISTINCT_INDEX_BITS = 7,
    TT_DISTINCT_MAX_RANK = 32 - TT_DISTINCT_INDEX_BITS + 1,
};

/* The finaliser of MurmurHash3: a permutation of 32 bits. */
#define TT_MIX_FACTOR_1 0x85ebca6bu
#define TT_MIX_FACTOR_2 0xc2b2ae35u
/* so that 0, which values like to be, is nothing special */
#define TT_MIX_SEED 0x9e3779b9u

static inline uint32_t tt_mix(uint32_t x)
{
    x += TT_MIX_SEED;
    x = (x ^ x >> 16) * TT_MIX_FACTOR_1;
    x = (x ^ x >> 13) * TT_MIX_FACTOR_2;
    return x ^ x >> 16;
}

/* 32 bits for 64. */
static inline uint32_t tt_fold(uint64_t bits)
{
    return tt_mix((uint32_t)bits) ^ (uint32_t)(bits >> 32);
}

/* A number as 32 bits: those of a float where it is one, so that it does not matter as
 * what it came.  x is finite and not -0. */
static inline uint32_t tt_word_of(double x)
{
    float single = (float)x;
    uint64_t bits;
    uint32_t word;
    memcpy(&bits, &x, sizeof bits);
    memcpy(&word, &single, sizeof word);
    return (double)single == x ? word : tt_fold(bits);
}

static inline uint32_t tt_word_of_code(int64_t code)
{
    return code == (int32_t)code ? (uint32_t)code : tt_fold((uint64_t)code);
}

static inline void tt_distinct_add(uint8_t *registers, uint32_t word)
{
    uint32_t hash = tt_mix(word), at = hash % TT_DISTINCT_REGISTERS;
    uint32_t rest = hash >> TT_DISTINCT_INDEX_BITS | 1u << (TT_DISTINCT_MAX_RANK - 1);
    int rank = __builtin_ctz(rest) + 1;
    if (rank > registers[at]) registers[at] = (uint8_t)rank;
}

static inline void tt_distinct_merge(uint8_t *registers, const uint8_t *from)
{
    for (int i = 0; i < TT_DISTINCT_REGISTERS; ++i)
        registers[i] = registers[i] > from[i] ? registers[i] : from[i];
}

double tt_distinct_estimate(const uint8_t *registers);

/* Could n values (each perhaps like others) have left these? */
bool tt_distinct_is_valid(const uint8_t *registers, int64_t n);

#endif
