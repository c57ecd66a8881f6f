/* Hashes tell contents apart. */
#include <string.h>

#include "base/hash.h"
#include "harness.h"

TT_TEST(equal_bytes_hash_alike_wherever_they_lie)
{
    char block[300];
    memset(block, 7, sizeof block);
    for (size_t n = 0; n < 200; ++n)
        CHECK(
            tt_hash_equal(tt_hash_bytes(block, n, 1), tt_hash_bytes(block + 3, n, 1)));
}

TT_TEST(every_bit_and_the_length_and_the_seed_matter)
{
    char block[200];
    memset(block, 0, sizeof block);
    for (size_t n = 1; n < sizeof block; n += 13) {
        tt_hash whole = tt_hash_bytes(block, n, 1);
        CHECK(!tt_hash_equal(whole, tt_hash_bytes(block, n - 1, 1)));
        CHECK(!tt_hash_equal(whole, tt_hash_bytes(block, n + 1, 1)));
        CHECK(!tt_hash_equal(whole, tt_hash_bytes(block, n, 2)));
        for (size_t bit = 0; bit < 8 * n; ++bit) {
            block[bit / 8] ^= (char)(1 << bit % 8);
            CHECK(!tt_hash_equal(whole, tt_hash_bytes(block, n, 1)));
            block[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
}

TT_TEST(no_two_of_many_short_contents_share_a_word)
{
    enum { N = 2000 };
    static uint64_t seen[N];
    for (uint32_t i = 0; i < N; ++i) {
        seen[i] = tt_hash_bytes(&i, sizeof i, 0).word[1];
        for (uint32_t k = 0; k < i; ++k)
            CHECK(seen[k] != seen[i]);
    }
}

/* By the definition: one bit after the other, polynomial 1EDC6F41 reflected. */
static uint32_t crc_of_bits(const unsigned char *data, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t bit = 0; bit < 8 * n; ++bit) {
        uint32_t in = (uint32_t)(data[bit / 8] >> bit % 8) & 1u;
        crc = crc >> 1 ^ (0x82F63B78u & (0u - ((crc ^ in) & 1u)));
    }
    return ~crc;
}

TT_TEST(checksums_are_those_of_the_definition)
{
    unsigned char bytes[100];
    CHECK(tt_crc32c("123456789", 9) == 0xE3069283u);
    CHECK(tt_crc32c("", 0) == 0);
    for (size_t i = 0; i < sizeof bytes; ++i)
        bytes[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof bytes; ++n)
        CHECK(tt_crc32c(bytes, n) == crc_of_bits(bytes, n));
}
