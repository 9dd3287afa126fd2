/* recipe.h - a constant expression of the graph, made ready to be read row by row.
 *
 * A stored tensor derives from canonical weights through the graph's constant ops (concat_rows,
 * cast, quantize, ...).  A recipe pulls rows through that expression: nothing but the rows in hand
 * is in memory, whatever the tensor's size.  Leaves come from a supply, which may also answer for
 * an inner expression: that is how an engine's own tensors are unpacked again.
 *
 * Rows: dims[0] of the value, each the product of the other dims; a vector [N] has N rows of one
 * element.  Recipes live in the caller's arena and are read-only once made: any number of threads
 * may read rows, each with its own scratch. */
#ifndef TRI_ENGINE_RECIPE_H
#define TRI_ENGINE_RECIPE_H

#include "base/arena.h"
#include "graph/ir.h"

/* Something that can be read: dense rows [first, first + n) in its own dtype. */
typedef struct tri_leaf {
    tri_dtype dtype; /* may differ from the value's: converted where nothing is lost that the
                        value's own derivation would keep */
    void *user;
    int64_t index;
    tri_status (*read)(
        const struct tri_leaf *leaf, int64_t first, int64_t n, void *out, tri_error *err);
} tri_leaf;

typedef struct tri_supply {
    void *user;
    /* *found when this supply has `value` itself; its shape was checked, its dtype is leaf->dtype.
     * Otherwise the value is evaluated from its operands.  A weight that is not found is an error
     * of the recipe. */
    tri_status (*find)(
        void *user, const tri_value *value, tri_leaf *leaf, bool *found, tri_error *err);
} tri_supply;

typedef struct tri_recipe tri_recipe;

/* Of a value in layout row (strip pack and tie first: tri_value_unpacked). */
tri_status tri_recipe_create(const tri_recipe **recipe, const tri_value *value,
    const tri_supply *supply, tri_arena *arena, tri_error *err);
int64_t tri_recipe_rows(const tri_recipe *recipe);
int64_t tri_recipe_row_bytes(const tri_recipe *recipe);
/* Scratch that reading n rows takes. */
int64_t tri_recipe_scratch_bytes(const tri_recipe *recipe, int64_t n);
tri_status tri_recipe_read(
    const tri_recipe *recipe, int64_t first, int64_t n, void *out, void *scratch, tri_error *err);

/* The value below pack and tie: what is stored, before it was packed. */
const tri_value *tri_value_unpacked(const tri_value *value);
/* Rows and bytes a row of a tensor type's dense form; -1 bytes when it has none (static dims are
 * due, a row is whole blocks, the whole fits int64). */
int64_t tri_type_rows(const tri_type *type);
int64_t tri_type_row_bytes(const tri_type *type);
/* rows * row bytes, or -1. */
int64_t tri_type_dense_bytes(const tri_type *type);

#endif
