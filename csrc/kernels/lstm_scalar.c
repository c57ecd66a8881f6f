/* LSTM steps for any processor. */
#include "kernels/lstm.h"

#define TABLE tt_lstm_scalar
#define TABLE_NAME "lstm:scalar"
#include "kernels/lstm.inc.h"
