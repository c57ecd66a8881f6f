/* LSTM steps for AVX-512. */
#include "kernels/lstm.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_lstm_avx512
#define TABLE_NAME "lstm:avx512"
#include "kernels/lstm.inc.h"
#endif
