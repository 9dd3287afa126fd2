/* match.h - small questions that passes ask of a graph, and small edits they make. */
#ifndef TRI_PASSES_MATCH_H
#define TRI_PASSES_MATCH_H

#include "graph/ir.h"

bool tri_match_is(const tri_value *value, tri_op op); /* defined by an op of this kind; NULL: no */
/* The only node that uses value, once; NULL when there is none, several, or an output. */
tri_node *tri_match_sole_user(const tri_graph *g, const tri_value *value);
/* The weight at the start of a chain of one-operand constant ops; NULL when it starts elsewhere or
 * joins several. */
tri_node *tri_match_root_weight(const tri_value *constant);
const char *tri_match_slot_name(const tri_node *node, int32_t slot); /* "weight"; plugins: "" */
/* "linear of transformer.layers.3" */
typedef struct tri_match_text {
    char s[256];
} tri_match_text;
tri_match_text tri_match_describe(const tri_node *node);

void tri_match_set_int(tri_node *node, const char *attr, int64_t value);
void tri_match_set_float(tri_node *node, const char *attr, double value);
void tri_match_set_string(tri_graph *g, tri_node *node, const char *attr, const char *text);
void tri_match_set_operand(tri_node *node, const char *name, tri_value *value);
/* op(x) of a constant x with these attributes, right after x, made when there is none yet. */
tri_value *tri_match_constant(
    tri_graph *g, tri_value *x, tri_op op, const tri_attr *attrs, int32_t n_attrs);
/* Removes what is dead; types and rules hold afterwards, or *err says which pass broke them. */
tri_status tri_match_finish(tri_graph *g, const char *pass, tri_error *err);

#endif
