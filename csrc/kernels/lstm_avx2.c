/* LSTM steps for AVX2 and FMA. */
#include "kernels/lstm.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_lstm_avx2
#define TABLE_NAME "lstm:avx2"
#include "kernels/lstm.inc.h"
#endif
