/* Stand-ins for libintlc.so.5 and libimf.so of Intel's compiler.
 *
 * The libdnnl of PyPI names both libraries as needed.  Of the first it uses the two
 * functions below; of the second only erff, expf, pow and other names of the C
 * library's libm, which a Python process has in its global scope already, so that
 * libimf's are never the ones called.  Intel's own licence for the pair forbids
 * what a wheel on a public index has to permit, and they cost a download of 45 MB.
 *
 * libintlc.so.5 is this file; libimf.so is this file with TT_ONLY_LIBM, empty but for
 * its need of libm. */
#ifndef TT_ONLY_LIBM

#include <stddef.h>
#include <string.h>

void *_intel_fast_memcpy(void *dst, const void *src, size_t bytes);
void *_intel_fast_memset(void *dst, int value, size_t bytes);

void *_intel_fast_memcpy(void *dst, const void *src, size_t bytes)
{
    return memcpy(dst, src, bytes);
}

void *_intel_fast_memset(void *dst, int value, size_t bytes)
{
    return memset(dst, value, bytes);
}

#else

typedef int nothing_of_our_own;

#endif
