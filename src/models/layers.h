/* layers.h - what the families share, each a few calls of trireme/graph.h. */
#ifndef TRI_MODELS_LAYERS_H
#define TRI_MODELS_LAYERS_H

#include "models/model.h"

/* Layer `layer` of the whole model on the residual stream x [T, hidden]; its scope is open. */
typedef tri_value *(*tri_layer_fn)(
    tri_graph *g, const tri_model_config *c, int32_t layer, tri_value *x);
/* A norm of the family's kind by the weight `name`.weight. */
typedef tri_value *(*tri_norm_fn)(
    tri_graph *g, const tri_model_config *c, tri_value *x, const char *name);

/* A decoder from tokens to logits, or layers [first, first + n) of it as one pipeline stage:
 * embedding (or what the stage before sent), layers, final norm and head (or send). */
void tri_decoder(tri_graph *g, const tri_model_config *c, int32_t first, int32_t n,
    tri_layer_fn layer, tri_norm_fn norm);

tri_value *tri_layer_norm(tri_graph *g, const tri_model_config *c, tri_value *x, const char *name);
/* Gemma stores w - 1. */
tri_value *tri_layer_norm_plus_one(
    tri_graph *g, const tri_model_config *c, tri_value *x, const char *name);

typedef struct tri_qkv {
    tri_value *q, *k, *v;
} tri_qkv;

/* attention.qkv cut in three; or attention.q, .k, .v where they are stored apart. */
tri_qkv tri_layer_qkv(tri_graph *g, const tri_model_config *c, tri_value *x);
/* The window of this layer: 0 where it sees everything. */
int32_t tri_layer_window(const tri_model_config *c, int32_t layer);

/* proj(f(fc(x)) * gate(x)).  arXiv:2002.05202 */
tri_value *tri_layer_gated_mlp(tri_graph *g, const tri_model_config *c, tri_value *x);

#endif
