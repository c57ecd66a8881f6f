/* Generators of random numbers: see random.h. */
#include "kernels/random.h"

#include <math.h>

#include "base/entropy.h"
#include "base/threads.h"

static const double TWO_PI = 6.283185307179586;

/* 53 of 64 bits as a number in [0, 1). */
static double from_words(uint32_t a, uint32_t b)
{
    return ((a >> 5) * 67108864.0 + (b >> 6)) * (1.0 / 9007199254740992.0);
}

/* ---- without a seed: Philox (Salmon et al. 2011), any number at once ------------- */

static void philox(uint64_t index, uint64_t key, uint32_t out[4])
{
    uint32_t c[4] = {(uint32_t)index, (uint32_t)(index >> 32), 0, 0};
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    for (int round = 0; round < 10; ++round) {
        uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k[0];
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k[1];
        c[1] = (uint32_t)b;
        c[3] = (uint32_t)a;
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    for (int i = 0; i < 4; ++i)
        out[i] = c[i];
}

typedef struct {
    bool is_normal;
    uint64_t key;
    int64_t n;
    tt_random_use use;
    void *arg;
} stream;

static void run_blocks(void *arg, int64_t begin, int64_t end)
{
    const stream *s = arg;
    for (int64_t block = begin; block < end; ++block) {
        double numbers[TT_RANDOM_BLOCK];
        int64_t first = block * TT_RANDOM_BLOCK, n = s->n - first;
        if (n > TT_RANDOM_BLOCK) n = TT_RANDOM_BLOCK;
        for (int64_t i = 0; i < n; i += 2) {
            uint32_t words[4];
            double u, v;
            philox((uint64_t)(first + i) / 2, s->key, words);
            u = from_words(words[0], words[1]);
            v = from_words(words[2], words[3]);
            if (s->is_normal) { /* Box and Muller */
                double radius = sqrt(-2.0 * log(1.0 - u)), angle = TWO_PI * v;
                u = radius * cos(angle);
                v = radius * sin(angle);
            }
            numbers[i] = u;
            numbers[i + 1] = v; /* within the block, whose size is even */
        }
        s->use(s->arg, numbers, first, first + n);
    }
}

/* ---- with a seed: MT19937 (Matsumoto and Nishimura 1998), one after the other ----- */

enum { N_WORDS = 624, SHIFT = 397 };

typedef struct {
    uint32_t words[N_WORDS];
    int at;
    bool has_spare;
    double spare; /* the second number of a pair of normal ones */
} twister;

static void start(twister *t, uint32_t seed)
{
    for (int i = 0; i < N_WORDS; ++i) {
        t->words[i] = seed;
        seed = 1812433253u * (seed ^ (seed >> 30)) + (uint32_t)i + 1;
    }
    t->at = N_WORDS;
    t->has_spare = false;
}

static void refill(twister *t)
{
    for (int i = 0; i < N_WORDS; ++i) {
        uint32_t next = t->words[(i + 1) % N_WORDS];
        uint32_t y = (t->words[i] & 0x80000000u) | (next & 0x7fffffffu);
        t->words[i] = t->words[(i + SHIFT) % N_WORDS] ^ (y >> 1) ^
                      ((next & 1) != 0 ? 0x9908b0dfu : 0);
    }
    t->at = 0;
}

static uint32_t next_word(twister *t)
{
    uint32_t y;
    if (t->at == N_WORDS) refill(t);
    y = t->words[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static double next_uniform(twister *t)
{
    uint32_t a = next_word(t), b = next_word(t);
    return from_words(a, b);
}

/* The polar method of Marsaglia, with the order of NumPy's RandomState. */
static double next_normal(twister *t)
{
    double x, y, square, factor;
    if (t->has_spare) {
        t->has_spare = false;
        return t->spare;
    }
    do {
        x = 2.0 * next_uniform(t) - 1.0;
        y = 2.0 * next_uniform(t) - 1.0;
        square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    factor = sqrt(-2.0 * log(square) / square);
    t->has_spare = true;
    t->spare = factor * x;
    return factor * y;
}

static void run_seeded(const stream *s, uint32_t seed)
{
    double numbers[TT_RANDOM_BLOCK];
    twister t;
    start(&t, seed);
    for (int64_t first = 0; first < s->n; first += TT_RANDOM_BLOCK) {
        int64_t n = s->n - first;
        if (n > TT_RANDOM_BLOCK) n = TT_RANDOM_BLOCK;
        for (int64_t i = 0; i < n; ++i)
            numbers[i] = s->is_normal ? next_normal(&t) : next_uniform(&t);
        s->use(s->arg, numbers, first, first + n);
    }
}

static void run(const tt_random *random, stream *s)
{
    enum { GRAIN = 16 }; /* blocks of some 5 us each */
    int64_t n_blocks = s->n / TT_RANDOM_BLOCK + (s->n % TT_RANDOM_BLOCK != 0);
    if (random->has_seed) {
        run_seeded(s, random->seed);
        return;
    }
    s->key = tt_entropy();
    tt_parallel_for(n_blocks, GRAIN, run_blocks, s);
}

void tt_random_uniforms(const tt_random *random, int64_t n, tt_random_use use,
                        void *arg)
{
    stream s = {.n = n, .use = use, .arg = arg};
    run(random, &s);
}

void tt_random_normals(const tt_random *random, int64_t n, tt_random_use use, void *arg)
{
    stream s = {.is_normal = true, .n = n, .use = use, .arg = arg};
    run(random, &s);
}
