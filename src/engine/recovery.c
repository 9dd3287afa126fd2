/* recovery.c - derivations run backwards: from what an engine stores to what it was made of.
 *
 * Walking down from each stored tensor, every step that loses nothing gives a place where its
 * operand can be read: pack is undone by the layout, concat_rows by taking the rows apart, a cast
 * to a wider type by rounding back, which changes nothing.  Steps that lose end the walk; what
 * stands above them is still known as a whole, so that quantised weights can be packed anew. */
#include "engine/supply.h"

#include <stdlib.h>
#include <string.h>

#include "graph/plugins.h"

enum { MAX_DEPTH = 64, MAX_FOUND = 1 << 22 };

typedef struct recovered {
    const tri_plugin_layout *layout; /* NULL: dense */
    const uint8_t *data;             /* of the whole stored tensor */
    tri_type stored;                 /* its type, in layout row */
    int64_t first;                   /* the row of it where this expression's rows begin */
} recovered;

static bool keeps_all(tri_dtype from, tri_dtype to) {
    return from == to || (to == TRI_F32 && (from == TRI_F16 || from == TRI_BF16));
}

static tri_status add(
    tri_recovery *r, const tri_value *value, const recovered *at, tri_error *err) {
    tri_buf text = {0};
    int64_t known;
    if (r->found.len / sizeof *at >= MAX_FOUND)
        return TRI_FAIL(err, TRI_E_LIMIT, "more than %d steps of derivations", MAX_FOUND);
    tri_value_print_expression(value, &text);
    tri_status rc = tri_buf_status(&text, err);
    if (!rc && !tri_map_get(&r->index, (tri_str){text.ptr, text.len}, &known)) {
        const char *key = tri_arena_strndup(&r->arena, text.ptr, text.len);
        if (!key)
            rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        else
            rc = tri_map_put(
                &r->index, (tri_str){key, text.len}, (int64_t)(r->found.len / sizeof *at), err);
        if (!rc) tri_buf_append(&r->found, at, sizeof *at);
        if (!rc) rc = tri_buf_status(&r->found, err);
    }
    tri_buf_deinit(&text);
    return rc;
}

static tri_status walk(
    tri_recovery *r, const tri_value *value, recovered at, int32_t depth, tri_error *err) {
    const tri_node *node = value->node;
    if (depth > MAX_DEPTH)
        return TRI_FAIL(err, TRI_E_LIMIT, "a derivation more than %d steps deep", MAX_DEPTH);
    if (node->op == TRI_OP_TIE || node->op == TRI_OP_PACK)
        return walk(r, node->operands[0], at, depth + 1, err);
    TRI_TRY(add(r, value, &at, err));
    if (node->op == TRI_OP_CONCAT_ROWS) {
        recovered b = at;
        b.first += tri_type_rows(&node->operands[0]->type);
        TRI_TRY(walk(r, node->operands[0], at, depth + 1, err));
        return walk(r, node->operands[1], b, depth + 1, err);
    }
    if (node->op == TRI_OP_CAST && keeps_all(node->operands[0]->type.dtype, value->type.dtype))
        return walk(r, node->operands[0], at, depth + 1, err);
    return TRI_OK;
}

tri_status tri_recovery_create(tri_recovery *recovery, const tri_stored *stored,
    const uint8_t *const *data, int32_t n_stored, const tri_kernels *kernels, tri_error *err) {
    tri_recovery made = {.stored = stored, .n_stored = n_stored};
    tri_status rc = TRI_OK;
    tri_arena_init(&made.arena, 0);
    for (int32_t i = 0; i < n_stored && !rc; i++) {
        const tri_type *type = &stored[i].value->type;
        recovered at = {.data = data[i], .stored = *type};
        at.stored.layout = "row";
        if (strcmp(type->layout, "row") != 0) {
            at.layout = tri_kernels_find_layout(kernels, type->layout);
            if (!at.layout)
                rc = TRI_FAIL(err, TRI_E_UNSUPPORTED, "layout %s of %s is not known here",
                    type->layout, stored[i].name);
        }
        if (!rc) rc = walk(&made, stored[i].value, at, 0, err);
    }
    if (rc)
        tri_recovery_destroy(&made);
    else
        *recovery = made;
    return rc;
}

void tri_recovery_destroy(tri_recovery *recovery) {
    tri_arena_deinit(&recovery->arena);
    tri_buf_deinit(&recovery->found);
    tri_map_deinit(&recovery->index);
}

/* ---- reading ---- */

/* Layouts are undone by whole units of rows. */
static tri_status unpack(
    const recovered *at, int64_t first, int64_t n, uint8_t *out, tri_error *err) {
    tri_value value = {.type = at->stored, .constant = true};
    tri_plugin_type type = tri_plugin_type_of(&value);
    int64_t unit = at->layout->row_unit, n_rows = tri_type_rows(&at->stored);
    int64_t row_bytes = tri_type_row_bytes(&at->stored);
    int64_t from = first / unit * unit, to = (first + n + unit - 1) / unit * unit;
    if (to > n_rows) to = n_rows;
    if (from == first && to == first + n) {
        at->layout->unpack(&type, first, n, at->data, out);
        return TRI_OK;
    }
    uint8_t *rows = malloc((size_t)((to - from) * row_bytes));
    if (!rows) return TRI_FAIL(err, TRI_E_MEMORY, "unpacking: out of memory");
    at->layout->unpack(&type, from, to - from, at->data, rows);
    memcpy(out, rows + (first - from) * row_bytes, (size_t)(n * row_bytes));
    free(rows);
    return TRI_OK;
}

static tri_status read_recovered(
    const tri_leaf *leaf, int64_t first, int64_t n, void *out, tri_error *err) {
    const tri_recovery *r = leaf->user;
    const recovered *at = (const recovered *)(const void *)r->found.ptr + leaf->index;
    int64_t row_bytes = tri_type_row_bytes(&at->stored);
    if (at->layout) return unpack(at, at->first + first, n, out, err);
    memcpy(out, at->data + (at->first + first) * row_bytes, (size_t)(n * row_bytes));
    return TRI_OK;
}

static tri_status fail_lost(const tri_recovery *r, const char *name, tri_error *err) {
    for (int32_t i = 0; i < r->n_stored; i++) {
        if (r->stored[i].lossless || !strstr(r->stored[i].derivation, name)) continue;
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "weight %s cannot be got back: %s was made of it by %s, which loses some of it", name,
            r->stored[i].name, r->stored[i].lossy_step);
    }
    return TRI_FAIL(
        err, TRI_E_UNSUPPORTED, "weight %s cannot be got back: nothing stored has all of it", name);
}

static tri_status find_recovered(
    void *user, const tri_value *value, tri_leaf *leaf, bool *found, tri_error *err) {
    tri_recovery *r = user;
    tri_buf text = {0};
    int64_t place = -1;
    tri_value_print_expression(value, &text);
    tri_status rc = tri_buf_status(&text, err);
    bool known = !rc && tri_map_get(&r->index, (tri_str){text.ptr, text.len}, &place);
    tri_buf_deinit(&text);
    if (rc) return rc;
    if (known) {
        const recovered *at = (const recovered *)(const void *)r->found.ptr + place;
        *leaf = (tri_leaf){
            .dtype = at->stored.dtype, .user = r, .index = place, .read = read_recovered};
        *found = true;
    } else if (value->node->op == TRI_OP_WEIGHT) {
        return fail_lost(r, tri_node_string(value->node, "name"), err);
    }
    return TRI_OK;
}

tri_supply tri_supply_recovery(tri_recovery *recovery) {
    return (tri_supply){.user = recovery, .find = find_recovered};
}
