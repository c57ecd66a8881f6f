/* Building a program of elementwise instructions: registers, constants, checks. */
#include "kernels/eltwise.h"

#include "kernels/eltwise_table.h"

static const int arity[TT_ELTWISE_COUNT] = {
#define TT_ELTWISE_ARITY(name, n) n,
    TT_ELTWISE_LIST(TT_ELTWISE_ARITY)
#undef TT_ELTWISE_ARITY
};

/* The register dtype of an operand in memory; NONE when there is none. */
static tt_dtype register_dtype(tt_dtype dtype)
{
    if (dtype == TT_F16 || dtype == TT_BF16) return TT_F32;
    if (tt_dtype_is_float(dtype) || tt_dtype_is_int(dtype) || dtype == TT_BOOL)
        return dtype;
    return TT_DTYPE_NONE;
}

bool tt_eltwise_has(tt_eltwise_op op, tt_dtype dtype)
{
    const tt_eltwise_table *table = tt_eltwise_table_of(TT_ISA_SCALAR);
    if ((int)dtype < 0 || (int)dtype >= TT_ELTWISE_DTYPES) return false;
    if (op == TT_ELTWISE_CAST) return table->casts[dtype][TT_F32] != NULL;
    if (op == TT_ELTWISE_QUANTIZE) return dtype == TT_F32;
    if (op == TT_ELTWISE_DEQUANTIZE) return table->dequantize[dtype] != NULL;
    return table->kernels[dtype] != NULL &&
           table->kernels[dtype][op].by_scalar[0] != NULL;
}

static int new_register(tt_eltwise_builder *b, tt_dtype dtype)
{
    if (dtype == TT_DTYPE_NONE || b->n_registers == TT_ELTWISE_MAX_REGISTERS) return -1;
    b->registers[b->n_registers] = dtype;
    return b->n_registers++;
}

int tt_eltwise_load(tt_eltwise_builder *b, tt_dtype dtype)
{
    int reg;
    if (b->n_loads + b->n_stores == TT_ELTWISE_MAX_OPERANDS) return -1;
    reg = new_register(b, register_dtype(dtype));
    if (reg < 0) return -1;
    b->loads[b->n_loads] = reg;
    b->load_dtypes[b->n_loads++] = dtype;
    return reg;
}

int tt_eltwise_constant(tt_eltwise_builder *b, tt_dtype dtype, double value)
{
    int reg = register_dtype(dtype) == dtype ? new_register(b, dtype) : -1;
    if (reg < 0) return -1;
    b->constants[b->n_constants].reg = reg;
    b->constants[b->n_constants++].value = value;
    return reg;
}

static bool gives_bool(tt_eltwise_op op)
{
    switch (op) {
    case TT_ELTWISE_IS_NAN:
    case TT_ELTWISE_IS_INF:
    case TT_ELTWISE_EQUAL:
    case TT_ELTWISE_GREATER:
    case TT_ELTWISE_GREATER_EQUAL:
    case TT_ELTWISE_LESS:
    case TT_ELTWISE_LESS_EQUAL:
        return true;
    default:
        return false;
    }
}

/* Arguments [first, n) have one dtype, given back; NONE when not. */
static tt_dtype argument_dtype(const tt_eltwise_builder *b, const int *args, int first,
                               int n)
{
    for (int i = 0; i < n; ++i)
        if (args[i] < 0 || args[i] >= b->n_registers) return TT_DTYPE_NONE;
    for (int i = first + 1; i < n; ++i)
        if (b->registers[args[i]] != b->registers[args[first]]) return TT_DTYPE_NONE;
    return b->registers[args[first]];
}

int tt_eltwise_add(tt_eltwise_builder *b, tt_eltwise_op op, int a0, int a1, int a2,
                   double alpha, double beta, tt_dtype cast_to)
{
    tt_eltwise_instruction *at = &b->instructions[b->n_instructions];
    const int args[3] = {a0, a1, a2};
    const bool is_select = op == TT_ELTWISE_SELECT;
    tt_dtype dtype = argument_dtype(b, args, is_select ? 1 : 0, arity[op]);
    tt_dtype result = gives_bool(op) ? TT_BOOL : dtype;
    if (b->n_instructions == TT_ELTWISE_MAX_INSTRUCTIONS) return -1;
    if (!tt_eltwise_has(op, dtype)) return -1;
    if (is_select && b->registers[a0] != TT_BOOL) return -1;
    if (op == TT_ELTWISE_CAST) result = register_dtype(cast_to);
    if (op == TT_ELTWISE_DEQUANTIZE) result = TT_F32;
    if (op == TT_ELTWISE_QUANTIZE) {
        if (!tt_eltwise_has(TT_ELTWISE_DEQUANTIZE, cast_to)) return -1;
        result = cast_to;
    }
    *at = (tt_eltwise_instruction){
        .op = op,
        .dtype = dtype,
        .args = {a0, a1, a2},
        .cast_to = cast_to,
        .alpha = alpha,
        .beta = beta
    };
    at->result = new_register(b, result);
    if (at->result < 0) return -1;
    ++b->n_instructions;
    return at->result;
}

bool tt_eltwise_store(tt_eltwise_builder *b, int reg, tt_dtype dtype)
{
    if (b->n_loads + b->n_stores == TT_ELTWISE_MAX_OPERANDS) return false;
    if (reg < 0 || reg >= b->n_registers) return false;
    if (register_dtype(dtype) != b->registers[reg]) return false;
    b->stores[b->n_stores] = reg;
    b->store_dtypes[b->n_stores++] = dtype;
    return true;
}
