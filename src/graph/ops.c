/* ops.c - the op table, laid out from ops.def.
 *
 * Positions come from structs with one byte per operand, attribute and result: the offset of a name
 * in its struct is its index, so that the whole table is constant data. */
#include "graph/ir.h"

#include <string.h>

/* The leading byte keeps a struct of no members legal; it is taken off again below. */
#define TRI_OP(ENUM, op_name, op_version, rule)                                                    \
    struct operands_##ENUM {                                                                       \
        char none_;
#define TRI_IN(name) char name;
#define TRI_IN_OPTIONAL(name) char name;
#define TRI_OUT(name)
#define TRI_ATTR_I(name, default_)
#define TRI_ATTR_F(name, default_)
#define TRI_ATTR_S(name, default_)
#define TRI_ATTR_FS(name)
#define TRI_OP_END                                                                                 \
    }                                                                                              \
    ;
#include "graph/ops.def"
#include "graph/ops_undef.h"

#define TRI_OP(ENUM, op_name, op_version, rule)                                                    \
    struct attrs_##ENUM {                                                                          \
        char none_;
#define TRI_IN(name)
#define TRI_IN_OPTIONAL(name)
#define TRI_OUT(name)
#define TRI_ATTR_I(name, default_) char name;
#define TRI_ATTR_F(name, default_) char name;
#define TRI_ATTR_S(name, default_) char name;
#define TRI_ATTR_FS(name) char name;
#define TRI_OP_END                                                                                 \
    }                                                                                              \
    ;
#include "graph/ops.def"
#include "graph/ops_undef.h"

#define TRI_OP(ENUM, op_name, op_version, rule)                                                    \
    struct results_##ENUM {                                                                        \
        char none_;
#define TRI_IN(name)
#define TRI_IN_OPTIONAL(name)
#define TRI_OUT(name) char name;
#define TRI_ATTR_I(name, default_)
#define TRI_ATTR_F(name, default_)
#define TRI_ATTR_S(name, default_)
#define TRI_ATTR_FS(name)
#define TRI_OP_END                                                                                 \
    }                                                                                              \
    ;
#include "graph/ops.def"
#include "graph/ops_undef.h"

/* One function an op, so that its structs have the same local names for all the lines of the op. */
#define TRI_OP(ENUM, op_name, op_version, rule)                                                    \
    static const tri_op_info *info_##ENUM(void) {                                                  \
        typedef struct operands_##ENUM operands;                                                   \
        typedef struct attrs_##ENUM attributes;                                                    \
        typedef struct results_##ENUM outcomes;                                                    \
        static const tri_op_info info = {                                                          \
            .name = op_name,                                                                       \
            .version = op_version,                                                                 \
            .n_operands = sizeof(operands) - 1,                                                    \
            .n_results = sizeof(outcomes) - 1,                                                     \
            .n_attrs = sizeof(attributes) - 1,
#define TRI_IN(operand) .operand_names[offsetof(operands, operand) - 1] = #operand,
#define TRI_IN_OPTIONAL(operand)                                                                   \
    .operand_names[offsetof(operands, operand) - 1] = #operand,                                    \
                                                 .operand_optional[offsetof(operands, operand) -   \
                                                                   1] = true,
#define TRI_OUT(result) .result_names[offsetof(outcomes, result) - 1] = #result,
#define TRI_ATTR_I(attr, default_)                                                                 \
    .attrs[offsetof(attributes, attr) - 1] = {                                                     \
        .name = #attr, .kind = TRI_ATTR_INT, .i = default_, .s = ""},
#define TRI_ATTR_F(attr, default_)                                                                 \
    .attrs[offsetof(attributes, attr) - 1] = {                                                     \
        .name = #attr, .kind = TRI_ATTR_FLOAT, .f = default_, .s = ""},
#define TRI_ATTR_S(attr, default_)                                                                 \
    .attrs[offsetof(attributes, attr) - 1] = {                                                     \
        .name = #attr, .kind = TRI_ATTR_STRING, .s = default_},
#define TRI_ATTR_FS(attr)                                                                          \
    .attrs[offsetof(attributes, attr) - 1] = {.name = #attr, .kind = TRI_ATTR_FLOATS, .s = ""},
#define TRI_OP_END                                                                                 \
    }                                                                                              \
    ;                                                                                              \
    return &info;                                                                                  \
    }
#include "graph/ops.def"
#include "graph/ops_undef.h"

const tri_op_info *tri_op_get(tri_op op) {
    switch (op) {
#define TRI_OP(ENUM, op_name, op_version, rule)                                                    \
    case TRI_OP_##ENUM:                                                                            \
        return info_##ENUM();
#define TRI_IN(name)
#define TRI_IN_OPTIONAL(name)
#define TRI_OUT(name)
#define TRI_ATTR_I(name, default_)
#define TRI_ATTR_F(name, default_)
#define TRI_ATTR_S(name, default_)
#define TRI_ATTR_FS(name)
#define TRI_OP_END
#include "graph/ops.def"
#include "graph/ops_undef.h"
    case TRI_N_OPS:
        break;
    }
    TRI_ASSERT(op < TRI_N_OPS);
    return NULL;
}

bool tri_op_find(const char *name, tri_op *op) {
    for (int32_t i = 0; i < TRI_N_OPS; i++) {
        if (strcmp(tri_op_get((tri_op)i)->name, name) == 0) {
            *op = (tri_op)i;
            return true;
        }
    }
    return false;
}
