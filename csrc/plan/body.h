/* Running the body of a node again and again: what Loop, Scan and SequenceMap share.
 *
 * The body is a program; its inputs are the formal ones, then what it captures.  A
 * tt_body holds the tensors of one iteration, and the outputs that iterations add to. */
#ifndef TT_PLAN_BODY_H
#define TT_PLAN_BODY_H

#include "plan/plan.h"

/* An output that gets one part per iteration, along a new first dim. */
typedef struct {
    tt_tensor all;    /* owned */
    int64_t capacity; /* parts there is room for */
} tt_stacked;

typedef struct {
    tt_program *program;
    const tt_graph *graph;
    tt_poll poll;
    void *poll_arg;
    int64_t polled_ns;
    tt_tensor *in, *out; /* of one iteration */
    bool *owned;         /* is in[i] ours to free? */
    tt_stacked *stacked;
    int n_stacked;
} tt_body;

/* Makes the lists; the captures become the last inputs.  TT_BAD_MODEL unless the body has
 * this many formal inputs and outputs. */
tt_status tt_body_begin(tt_body *body, const tt_node *node,
                        const tt_tensor *const *inputs, int n_formal, int n_outputs,
                        int n_stacked, tt_error *err);
void tt_body_end(tt_body *body); /* frees all but what was taken */

/* One iteration: in -> out, whose tensors the caller takes or frees. */
tt_status tt_body_run(tt_body *body, tt_error *err);
/* Takes out[from] over as in[to]. */
void tt_body_carry(tt_body *body, int from, int to);
/* Puts out[from] to the others of `which` as part `at` of `n`; n = -1: nobody knows how
 * many will come, and `at` counts up. */
tt_status tt_body_stack(tt_body *body, int which, int from, int64_t at, int64_t n,
                        tt_error *err);
/* Outputs of a body that never ran: [0, ...] as far as output first + i of the body
 * tells. */
tt_status tt_body_stack_nothing(tt_body *body, int first, tt_error *err);
/* Gives in[which] away as *out; copies it if it is not ours. */
tt_status tt_body_give(tt_body *body, int which, tt_tensor *out, tt_error *err);

/* Each: as tt_op.eval, of a node with this body (loop.c, scan.c, sequence_map.c). */
tt_status tt_loop_run(tt_body *body, const tt_node *node,
                      const tt_tensor *const *inputs, tt_tensor *out, tt_error *err);
tt_status tt_scan_run(tt_body *body, const tt_node *node,
                      const tt_tensor *const *inputs, tt_tensor *out, tt_error *err);
tt_status tt_sequence_map_run(tt_body *body, const tt_node *node,
                              const tt_tensor *const *inputs, tt_tensor *out,
                              tt_error *err);

#endif
