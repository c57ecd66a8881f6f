/* Entropy of the operating system: see entropy.h. */
#include "base/entropy.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Neighbouring numbers become unlike ones (the finaliser of SplitMix64). */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t tt_entropy(void)
{
    uint64_t bits;
    struct timespec now = {0};
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits)
        return bits;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    bits = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    bits ^= mixed((uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)&bits);
    return mixed(bits);
}
