/* Eight lanes of multiplications, mixed into two words at the end (hash.h). */
#include "base/hash.h"

#include <string.h>

enum { LANES = 8 };

/* Odd, with about as many ones as zeros. */
static const uint64_t MULTIPLIER = 0x9E3779B97F4A7C15u;

static uint64_t rotated(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/* Every bit of x changes about half of the result's. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 32) * 0xD6E8FEB86659FD93u;
    x = (x ^ x >> 32) * 0xD6E8FEB86659FD93u;
    return x ^ x >> 32;
}

/* One step of a lane is a bijection of the word, so a changed word changes the lane. */
static void absorb(uint64_t *lanes, const unsigned char *block)
{
    uint64_t words[LANES];
    memcpy(words, block, sizeof words);
    for (int i = 0; i < LANES; ++i)
        lanes[i] = rotated((lanes[i] ^ words[i]) * MULTIPLIER, 29);
}

tt_hash tt_hash_bytes(const void *data, size_t n_bytes, uint64_t seed)
{
    const unsigned char *at = data;
    uint64_t lanes[LANES];
    unsigned char rest[LANES * sizeof(uint64_t)] = {0};
    size_t left = n_bytes;
    tt_hash hash = {
        {mixed(seed ^ n_bytes), mixed(seed + MULTIPLIER)}
    };
    for (int i = 0; i < LANES; ++i)
        lanes[i] = mixed(seed + (uint64_t)i);
    for (; left >= sizeof rest; left -= sizeof rest, at += sizeof rest)
        absorb(lanes, at);
    if (left > 0) memcpy(rest, at, left);
    absorb(lanes, rest);
    for (int i = 0; i < LANES; ++i) {
        hash.word[0] = mixed(hash.word[0] ^ lanes[i]);
        hash.word[1] = mixed(hash.word[1] + rotated(lanes[i], 17));
    }
    return hash;
}

/* By half a byte: the remainders of 0 to 15, of the polynomial 1EDC6F41 reflected. */
static const uint32_t CRC_NIBBLES[16] = {
    0x00000000u, 0x105EC76Fu, 0x20BD8EDEu, 0x30E349B1u, 0x417B1DBCu, 0x5125DAD3u,
    0x61C69362u, 0x7198540Du, 0x82F63B78u, 0x92A8FC17u, 0xA24BB5A6u, 0xB21572C9u,
    0xC38D26C4u, 0xD3D3E1ABu, 0xE330A81Au, 0xF36E6F75u,
};

uint32_t tt_crc32c(const void *data, size_t n_bytes)
{
    const unsigned char *at = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n_bytes; ++i) {
        crc ^= at[i];
        crc = crc >> 4 ^ CRC_NIBBLES[crc & 15];
        crc = crc >> 4 ^ CRC_NIBBLES[crc & 15];
    }
    return ~crc;
}
