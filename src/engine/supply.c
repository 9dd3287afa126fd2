#include "engine/supply.h"

#include <stdlib.h>
#include <string.h>

static bool same_dims(const tri_type *a, const tri_type *b) {
    if (a->n_dims != b->n_dims) return false;
    for (int32_t i = 0; i < a->n_dims; i++) {
        if (a->dims[i] != b->dims[i]) return false;
    }
    return true;
}

/* ---- a model ---- */

/* A source hands out a vector whole. */
static tri_status read_vector(const tri_source_supply *s, int32_t index,
    const tri_source_weight *weight, int64_t first, int64_t n, void *out, tri_error *err) {
    int64_t n_elems = weight->type.dims[0];
    if (first == 0 && n == n_elems)
        return tri_source_read(s->source, s->rank, index, 0, 1, out, err);
    uint8_t *whole = malloc((size_t)weight->row_bytes);
    if (!whole) return TRI_FAIL(err, TRI_E_MEMORY, "%s: out of memory", weight->name);
    tri_status rc = tri_source_read(s->source, s->rank, index, 0, 1, whole, err);
    int64_t elem_bytes = weight->row_bytes / n_elems;
    if (!rc) memcpy(out, whole + first * elem_bytes, (size_t)(n * elem_bytes));
    free(whole);
    return rc;
}

static tri_status read_source(
    const tri_leaf *leaf, int64_t first, int64_t n, void *out, tri_error *err) {
    const tri_source_supply *s = leaf->user;
    int32_t index = (int32_t)leaf->index;
    const tri_source_weight *weight = tri_source_get(s->source, s->rank, index);
    if (weight->type.n_dims == 1) return read_vector(s, index, weight, first, n, out, err);
    return tri_source_read(s->source, s->rank, index, first, n, out, err);
}

static tri_status find_in_source(
    void *user, const tri_value *value, tri_leaf *leaf, bool *found, tri_error *err) {
    tri_source_supply *s = user;
    if (value->node->op != TRI_OP_WEIGHT) return TRI_OK;
    const char *name = tri_node_string(value->node, "name");
    int32_t index = tri_source_find(s->source, s->rank, name);
    if (index < 0)
        return TRI_FAIL(
            err, TRI_E_NOT_FOUND, "%s has no weight %s", tri_source_path(s->source), name);
    const tri_source_weight *weight = tri_source_get(s->source, s->rank, index);
    if (!same_dims(&weight->type, &value->type))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "weight %s is %s in %s, %s is due", name,
            tri_type_print(&weight->type).s, tri_source_path(s->source),
            tri_type_print(&value->type).s);
    *leaf = (tri_leaf){.dtype = weight->type.dtype, .user = s, .index = index, .read = read_source};
    *found = true;
    return TRI_OK;
}

tri_supply tri_supply_source(tri_source_supply *s) {
    return (tri_supply){.user = s, .find = find_in_source};
}

/* ---- a function ---- */

struct tri_held_weight {
    struct tri_held_weight *next;
    const char *name; /* the graph's */
    uint8_t data[];
};

static tri_status read_held(
    const tri_leaf *leaf, int64_t first, int64_t n, void *out, tri_error *err) {
    const struct tri_held_weight *held = leaf->user;
    int64_t row_bytes = leaf->index;
    (void)err;
    memcpy(out, held->data + first * row_bytes, (size_t)(n * row_bytes));
    return TRI_OK;
}

static tri_status hold(tri_reader_supply *s, const char *name, int64_t n_bytes, tri_error *err) {
    struct tri_held_weight *held = malloc(sizeof *held + (size_t)n_bytes);
    if (!held)
        return TRI_FAIL(err, TRI_E_MEMORY, "weight %s: no %" PRId64 " bytes for it", name, n_bytes);
    tri_status rc = s->read(s->user, name, held->data, n_bytes, err);
    if (rc) {
        tri_error_context(err, "weight %s", name);
        free(held);
        return rc;
    }
    *held = (struct tri_held_weight){.next = s->held, .name = name};
    s->held = held;
    return TRI_OK;
}

static tri_status find_by_reader(
    void *user, const tri_value *value, tri_leaf *leaf, bool *found, tri_error *err) {
    tri_reader_supply *s = user;
    if (value->node->op != TRI_OP_WEIGHT) return TRI_OK;
    const char *name = tri_node_string(value->node, "name");
    struct tri_held_weight *held = s->held;
    while (held && strcmp(held->name, name) != 0)
        held = held->next;
    if (!held) {
        TRI_TRY(hold(s, name, tri_type_dense_bytes(&value->type), err));
        held = s->held;
    }
    *leaf = (tri_leaf){.dtype = value->type.dtype,
        .user = held,
        .index = tri_type_row_bytes(&value->type),
        .read = read_held};
    *found = true;
    return TRI_OK;
}

tri_supply tri_supply_reader(tri_reader_supply *s) {
    return (tri_supply){.user = s, .find = find_by_reader};
}

void tri_reader_supply_clear(tri_reader_supply *s) {
    while (s->held) {
        struct tri_held_weight *next = s->held->next;
        free(s->held);
        s->held = next;
    }
}
