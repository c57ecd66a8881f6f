/* Kernel values of support vectors for any processor. */
#include "kernels/svm.h"

#define VALUES tt_svm_values_scalar
#include "kernels/svm.inc.h"
