/* Sketches as bytes: little-endian fields of 8 bytes, one after another. */
#ifndef TT_WATCH_BYTES_H
#define TT_WATCH_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "watch/moments.h"

/* Into memory that is large enough. */
typedef struct {
    unsigned char *at;
} tt_writer;

/* Out of memory that may be too short: then is_short, and zeros. */
typedef struct {
    const unsigned char *at;
    size_t n_left;
    bool is_short;
} tt_reader;

static inline void tt_write_u64(tt_writer *writer, uint64_t value)
{
    for (int i = 0; i < 8; ++i)
        *writer->at++ = (unsigned char)(value >> (8 * i));
}

static inline void tt_write_i64(tt_writer *writer, int64_t value)
{
    tt_write_u64(writer, (uint64_t)value);
}

static inline void tt_write_f64(tt_writer *writer, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    tt_write_u64(writer, bits);
}

static inline uint64_t tt_read_u64(tt_reader *reader)
{
    uint64_t value = 0;
    if (reader->n_left < 8) {
        reader->is_short = true;
        return 0;
    }
    for (int i = 0; i < 8; ++i)
        value |= (uint64_t)reader->at[i] << (8 * i);
    reader->at += 8;
    reader->n_left -= 8;
    return value;
}

static inline int64_t tt_read_i64(tt_reader *reader)
{
    return (int64_t)tt_read_u64(reader);
}

static inline double tt_read_f64(tt_reader *reader)
{
    uint64_t bits = tt_read_u64(reader);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void tt_write_moments(tt_writer *writer, const tt_moments *moments)
{
    tt_write_i64(writer, moments->n);
    tt_write_i64(writer, moments->n_nonfinite);
    tt_write_f64(writer, moments->minimum);
    tt_write_f64(writer, moments->maximum);
    tt_write_f64(writer, moments->mean);
    tt_write_f64(writer, moments->m2);
}

/* The caller asks tt_moments_is_valid. */
static inline tt_moments tt_read_moments(tt_reader *reader)
{
    tt_moments moments;
    moments.n = tt_read_i64(reader);
    moments.n_nonfinite = tt_read_i64(reader);
    moments.minimum = tt_read_f64(reader);
    moments.maximum = tt_read_f64(reader);
    moments.mean = tt_read_f64(reader);
    moments.m2 = tt_read_f64(reader);
    return moments;
}

#endif
