#include "engine/recipe.h"

#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "engine/constants.h"
#include "graph/interp.h"

/* A chain of constant ops longer or wider than this was made by nobody's model. */
enum { MAX_DEPTH = 32, MAX_RECIPES = 4096, SCRATCH_ALIGN = 64 };

typedef enum recipe_kind {
    RECIPE_LEAF,
    RECIPE_VALUES, /* computed when the recipe was made */
    RECIPE_CONCAT_ROWS,
    RECIPE_SLICE_ROWS,
    RECIPE_COLUMNS,
    RECIPE_CAST,
    RECIPE_AFFINE,
    RECIPE_QUANTIZE,
    RECIPE_QUANTIZE_SCALES
} recipe_kind;

struct tri_recipe {
    recipe_kind kind;
    tri_dtype dtype;
    int64_t n_rows, n_columns, row_bytes;
    const tri_recipe *a, *b;
    tri_leaf leaf;
    const float *values;   /* [n_rows * n_columns] */
    int64_t first;         /* row or column */
    double factor, offset; /* affine */
    tri_quantization quantization;
};

/* ---- types ---- */

const tri_value *tri_value_unpacked(const tri_value *value) {
    while (value->node && (value->node->op == TRI_OP_PACK || value->node->op == TRI_OP_TIE))
        value = value->node->operands[0];
    return value;
}

int64_t tri_type_rows(const tri_type *type) {
    return type->n_dims >= 1 && type->dims[0] >= 0 ? type->dims[0] : -1;
}

static int64_t columns_of(const tri_type *type) {
    int64_t n = 1;
    for (int32_t i = 1; i < type->n_dims; i++) {
        if (type->dims[i] < 0 || __builtin_mul_overflow(n, type->dims[i], &n)) return -1;
    }
    return n;
}

int64_t tri_type_row_bytes(const tri_type *type) {
    int64_t n = columns_of(type);
    return n < 0 ? -1 : tri_dtype_row_bytes(type->dtype, n);
}

int64_t tri_type_dense_bytes(const tri_type *type) {
    int64_t rows = tri_type_rows(type), row = tri_type_row_bytes(type), n;
    if (type->kind != TRI_TYPE_TENSOR || rows < 0 || row < 0) return -1;
    return __builtin_mul_overflow(rows, row, &n) ? -1 : n;
}

/* ---- making ---- */

typedef struct maker {
    const tri_supply *supply;
    tri_arena *arena;
    int32_t n_recipes;
} maker;

static tri_status make(maker *m, const tri_value *value, bool as_floats, int32_t depth,
    const tri_recipe **out, tri_error *err);

static tri_status fail_dtype(
    const tri_value *value, tri_dtype have, tri_dtype want, tri_error *err) {
    bool is_weight = value->node->op == TRI_OP_WEIGHT;
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "%s%s is %s here and %s is needed: blocks cannot be made of it",
        is_weight ? "weight " : tri_op_get(value->node->op)->name,
        is_weight ? tri_node_string(value->node, "name") : "", tri_dtype_name(have),
        tri_dtype_name(want));
}

/* as_floats: the user decodes anyway, so the leaf's own dtype will do. */
static tri_status check_leaf(
    const tri_recipe *r, const tri_value *value, bool as_floats, tri_error *err) {
    const tri_dtype_info *have = tri_dtype_get(r->leaf.dtype), *want = tri_dtype_get(r->dtype);
    if (r->leaf.dtype == r->dtype) return TRI_OK;
    bool decodable = have->is_float || have->is_block;
    bool encodable = want->is_float && !want->is_block && tri_codec_can_encode(r->dtype);
    if (!decodable || !(as_floats || encodable) ||
        tri_dtype_row_bytes(r->leaf.dtype, r->n_columns) < 0)
        return fail_dtype(value, r->leaf.dtype, r->dtype, err);
    return TRI_OK;
}

static tri_status make_operand(maker *m, const tri_node *node, int32_t i, bool as_floats,
    int32_t depth, const tri_recipe **out, tri_error *err) {
    return make(m, node->operands[i], as_floats, depth + 1, out, err);
}

static tri_status make_op(
    maker *m, const tri_value *value, tri_recipe *r, int32_t depth, tri_error *err) {
    const tri_node *node = value->node;
    switch (node->op) {
    case TRI_OP_CONCAT_ROWS:
        r->kind = RECIPE_CONCAT_ROWS;
        TRI_TRY(make_operand(m, node, 0, false, depth, &r->a, err));
        return make_operand(m, node, 1, false, depth, &r->b, err);
    case TRI_OP_SLICE_ROWS:
        r->kind = RECIPE_SLICE_ROWS;
        r->first = tri_node_int(node, "first");
        return make_operand(m, node, 0, false, depth, &r->a, err);
    case TRI_OP_COLUMNS:
        r->kind = RECIPE_COLUMNS;
        r->first = tri_node_int(node, "first");
        return make_operand(m, node, 0, false, depth, &r->a, err);
    case TRI_OP_CAST:
        r->kind = RECIPE_CAST;
        return make_operand(m, node, 0, true, depth, &r->a, err);
    case TRI_OP_AFFINE:
        r->kind = RECIPE_AFFINE;
        r->factor = tri_node_float(node, "factor");
        r->offset = tri_node_float(node, "offset");
        return make_operand(m, node, 0, true, depth, &r->a, err);
    case TRI_OP_QUANTIZE:
    case TRI_OP_QUANTIZE_SCALES:
        r->kind = node->op == TRI_OP_QUANTIZE ? RECIPE_QUANTIZE : RECIPE_QUANTIZE_SCALES;
        TRI_TRY(make_operand(m, node, 0, true, depth, &r->a, err));
        return tri_quantization_of(&r->quantization, node, err);
    case TRI_OP_ROPE_FREQUENCIES: {
        float *values = TRI_NEW_N(m->arena, float, r->n_rows);
        if (!values) return TRI_FAIL(err, TRI_E_MEMORY, "rope_frequencies: out of memory");
        r->kind = RECIPE_VALUES;
        r->values = values;
        tri_rope_frequencies(node, values, r->n_rows);
        return TRI_OK;
    }
    case TRI_OP_WEIGHT:
        return TRI_FAIL(
            err, TRI_E_NOT_FOUND, "weight %s is not there", tri_node_string(node, "name"));
    default:
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "op %s has no value at build",
            node->plugin ? node->plugin : tri_op_get(node->op)->name);
    }
}

static tri_status make(maker *m, const tri_value *value, bool as_floats, int32_t depth,
    const tri_recipe **out, tri_error *err) {
    bool found = false;
    if (depth > MAX_DEPTH || m->n_recipes++ >= MAX_RECIPES)
        return TRI_FAIL(err, TRI_E_LIMIT, "a derivation of more than %d steps, or %d deep",
            MAX_RECIPES, MAX_DEPTH);
    while (value->node && value->node->op == TRI_OP_TIE)
        value = value->node->operands[0];
    tri_recipe *r = TRI_NEW(m->arena, tri_recipe);
    if (!r) return TRI_FAIL(err, TRI_E_MEMORY, "recipe: out of memory");
    r->dtype = value->type.dtype;
    r->n_rows = tri_type_rows(&value->type);
    r->n_columns = columns_of(&value->type);
    r->row_bytes = tri_type_row_bytes(&value->type);
    if (!value->constant || strcmp(value->type.layout, "row") != 0 ||
        tri_type_dense_bytes(&value->type) < 0)
        return TRI_FAIL(err, TRI_E_FORMAT, "%s has no dense form", tri_type_print(&value->type).s);
    TRI_TRY(m->supply->find(m->supply->user, value, &r->leaf, &found, err));
    if (found)
        TRI_TRY(check_leaf(r, value, as_floats, err));
    else
        TRI_TRY(make_op(m, value, r, depth, err));
    *out = r;
    return TRI_OK;
}

tri_status tri_recipe_create(const tri_recipe **recipe, const tri_value *value,
    const tri_supply *supply, tri_arena *arena, tri_error *err) {
    maker m = {.supply = supply, .arena = arena};
    return make(&m, value, false, 0, recipe, err);
}

int64_t tri_recipe_rows(const tri_recipe *r) {
    return r->n_rows;
}

int64_t tri_recipe_row_bytes(const tri_recipe *r) {
    return r->row_bytes;
}

/* ---- scratch: what each read below takes, in the same order ---- */

static int64_t align_scratch(int64_t n) {
    return (n + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

static void *take(uint8_t **scratch, int64_t n) {
    void *taken = *scratch;
    *scratch += align_scratch(n);
    return taken;
}

static int64_t float_bytes(const tri_recipe *r, int64_t n) {
    return n * r->n_columns * (int64_t)sizeof(float);
}

static int64_t leaf_bytes(const tri_recipe *r, int64_t n) {
    return n * tri_dtype_row_bytes(r->leaf.dtype, r->n_columns);
}

static int64_t scratch_read(const tri_recipe *r, int64_t n);

static int64_t scratch_floats(const tri_recipe *r, int64_t n) {
    if (r->kind == RECIPE_LEAF && r->leaf.dtype != r->dtype)
        return r->leaf.dtype == TRI_F32 ? 0 : align_scratch(leaf_bytes(r, n));
    if (r->dtype == TRI_F32) return scratch_read(r, n);
    return align_scratch(n * r->row_bytes) + scratch_read(r, n);
}

static int64_t scratch_read(const tri_recipe *r, int64_t n) {
    switch (r->kind) {
    case RECIPE_LEAF:
        if (r->leaf.dtype == r->dtype) return 0;
        return align_scratch(float_bytes(r, n)) + scratch_floats(r, n);
    case RECIPE_VALUES:
        return 0;
    case RECIPE_CONCAT_ROWS: {
        int64_t a = scratch_read(r->a, n), b = scratch_read(r->b, n);
        return a > b ? a : b;
    }
    case RECIPE_SLICE_ROWS:
        return scratch_read(r->a, n);
    case RECIPE_COLUMNS:
        return align_scratch(n * r->a->row_bytes) + scratch_read(r->a, n);
    case RECIPE_CAST:
    case RECIPE_AFFINE:
        return (r->dtype == TRI_F32 ? 0 : align_scratch(float_bytes(r, n))) +
               scratch_floats(r->a, n);
    case RECIPE_QUANTIZE:
    case RECIPE_QUANTIZE_SCALES:
        return align_scratch(float_bytes(r->a, n)) + scratch_floats(r->a, n);
    }
    return 0;
}

int64_t tri_recipe_scratch_bytes(const tri_recipe *r, int64_t n) {
    return scratch_read(r, n);
}

/* ---- reading ---- */

static tri_status read_rows(
    const tri_recipe *r, int64_t first, int64_t n, uint8_t *out, uint8_t *scratch, tri_error *err);

/* Rows as float32, whatever they are. */
static tri_status read_floats(
    const tri_recipe *r, int64_t first, int64_t n, float *out, uint8_t *scratch, tri_error *err) {
    bool foreign = r->kind == RECIPE_LEAF && r->leaf.dtype != r->dtype;
    tri_dtype dtype = foreign ? r->leaf.dtype : r->dtype;
    void *rows = out;
    if (dtype != TRI_F32) rows = take(&scratch, foreign ? leaf_bytes(r, n) : n * r->row_bytes);
    if (foreign)
        TRI_TRY(r->leaf.read(&r->leaf, first, n, rows, err));
    else
        TRI_TRY(read_rows(r, first, n, rows, scratch, err));
    if (dtype != TRI_F32) tri_codec_decode(dtype, rows, out, n * r->n_columns);
    return TRI_OK;
}

static tri_status read_concat(
    const tri_recipe *r, int64_t first, int64_t n, uint8_t *out, uint8_t *scratch, tri_error *err) {
    int64_t split = r->a->n_rows;
    int64_t n_a = first >= split ? 0 : first + n <= split ? n : split - first;
    if (n_a > 0) TRI_TRY(read_rows(r->a, first, n_a, out, scratch, err));
    if (n_a == n) return TRI_OK;
    return read_rows(r->b, first + n_a - split, n - n_a, out + n_a * r->row_bytes, scratch, err);
}

static tri_status read_columns(
    const tri_recipe *r, int64_t first, int64_t n, uint8_t *out, uint8_t *scratch, tri_error *err) {
    uint8_t *rows = take(&scratch, n * r->a->row_bytes);
    int64_t offset = tri_dtype_row_bytes(r->dtype, r->first);
    TRI_TRY(read_rows(r->a, first, n, rows, scratch, err));
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * r->row_bytes, rows + i * r->a->row_bytes + offset, (size_t)r->row_bytes);
    return TRI_OK;
}

/* Converted leaf, cast, affine: through floats. */
static tri_status read_converted(
    const tri_recipe *r, int64_t first, int64_t n, uint8_t *out, uint8_t *scratch, tri_error *err) {
    const tri_recipe *from = r->kind == RECIPE_LEAF ? r : r->a;
    float *floats = r->dtype == TRI_F32 ? (float *)(void *)out : take(&scratch, float_bytes(r, n));
    TRI_TRY(read_floats(from, first, n, floats, scratch, err));
    if (r->kind == RECIPE_AFFINE)
        tri_constant_affine(floats, n * r->n_columns, r->factor, r->offset);
    if (r->dtype != TRI_F32) tri_codec_encode(r->dtype, floats, out, n * r->n_columns);
    return TRI_OK;
}

static tri_status read_quantized(
    const tri_recipe *r, int64_t first, int64_t n, uint8_t *out, uint8_t *scratch, tri_error *err) {
    int64_t n_columns = r->a->n_columns;
    float *floats = take(&scratch, float_bytes(r->a, n));
    TRI_TRY(read_floats(r->a, first, n, floats, scratch, err));
    for (int64_t i = 0; i < n; i++) {
        const float *x = floats + i * n_columns;
        void *row = out + i * r->row_bytes;
        if (r->kind == RECIPE_QUANTIZE)
            tri_quantize_row(&r->quantization, x, n_columns, row);
        else
            tri_quantize_row_scales(&r->quantization, x, n_columns, row);
    }
    return TRI_OK;
}

static tri_status read_rows(
    const tri_recipe *r, int64_t first, int64_t n, uint8_t *out, uint8_t *scratch, tri_error *err) {
    TRI_ASSERT(first >= 0 && n >= 0 && first + n <= r->n_rows);
    switch (r->kind) {
    case RECIPE_LEAF:
        if (r->leaf.dtype == r->dtype) return r->leaf.read(&r->leaf, first, n, out, err);
        return read_converted(r, first, n, out, scratch, err);
    case RECIPE_VALUES:
        memcpy(out, r->values + first * r->n_columns, (size_t)(n * r->row_bytes));
        return TRI_OK;
    case RECIPE_CONCAT_ROWS:
        return read_concat(r, first, n, out, scratch, err);
    case RECIPE_SLICE_ROWS:
        return read_rows(r->a, r->first + first, n, out, scratch, err);
    case RECIPE_COLUMNS:
        return read_columns(r, first, n, out, scratch, err);
    case RECIPE_CAST:
    case RECIPE_AFFINE:
        return read_converted(r, first, n, out, scratch, err);
    case RECIPE_QUANTIZE:
    case RECIPE_QUANTIZE_SCALES:
        return read_quantized(r, first, n, out, scratch, err);
    }
    return TRI_FAIL(err, TRI_E_INTERNAL, "a recipe of no kind");
}

tri_status tri_recipe_read(
    const tri_recipe *r, int64_t first, int64_t n, void *out, void *scratch, tri_error *err) {
    return read_rows(r, first, n, out, scratch, err);
}
