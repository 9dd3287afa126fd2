/* print.c - a graph as text, and a constant's derivation as an expression.
 *
 * parse(print(g)) prints as the same text.  What is written:
 *
 *   required operands by position, optional ones by name; `_` for one a plugin leaves out; no
 *   parentheses when the op has no operand slots; attributes that differ from the op's default (of
 * a plugin: all); an op's version only when it is not 1, since text without one means 1 for ever.
 *
 * The scope is the word after # on a node's line; other comments are for people and not kept. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/ir.h"

enum { MAX_EXPRESSION_BYTES = 1 << 20 };

static void print_string(tri_buf *out, const char *text) {
    tri_buf_putc(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            tri_buf_printf(out, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            tri_buf_printf(out, "\\x%02x", *c);
        else
            tri_buf_putc(out, (char)*c);
    }
    tri_buf_putc(out, '"');
}

/* The fewest digits that read back as the same double; whole numbers below 1e15 without exponent.
 * snprintf writes the locale's decimal point,
 * which can be any bytes but those of a number. */
static void print_float(tri_buf *out, double value) {
    char text[48];
    if (fabs(value) < 1e15 && !(value < rint(value)) && !(value > rint(value))) {
        snprintf(text, sizeof text, "%.0f", value);
        tri_buf_puts(out, text);
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        double back;
        char *to = text;
        snprintf(text, sizeof text, "%.*g", precision, value);
        for (const char *from = text; *from; from++) {
            if (strchr("0123456789e+-.", *from))
                *to++ = *from;
            else if (to == text || to[-1] != '.')
                *to++ = '.';
        }
        *to = '\0';
        if (tri_str_to_f64(tri_str_of(text), &back) && !(back < value) && !(back > value)) break;
    }
    tri_buf_puts(out, text);
}

static bool is_default(const tri_attr *a, const tri_attr *default_) {
    switch (a->kind) {
    case TRI_ATTR_INT:
        return a->i == default_->i;
    case TRI_ATTR_FLOAT:
        return a->f == default_->f && signbit(a->f) == signbit(default_->f);
    case TRI_ATTR_STRING:
        return strcmp(a->s, default_->s) == 0;
    case TRI_ATTR_FLOATS:
        return a->n_fs == 0;
    }
    return false;
}

static void print_attr(tri_buf *out, const tri_attr *a) {
    tri_buf_printf(out, "%s=", a->name);
    switch (a->kind) {
    case TRI_ATTR_INT:
        tri_buf_printf(out, "%" PRId64, a->i);
        break;
    case TRI_ATTR_FLOAT:
        print_float(out, a->f);
        break;
    case TRI_ATTR_STRING:
        print_string(out, a->s);
        break;
    case TRI_ATTR_FLOATS:
        tri_buf_putc(out, '[');
        for (int32_t i = 0; i < a->n_fs; i++) {
            if (i > 0) tri_buf_puts(out, ", ");
            print_float(out, a->fs[i]);
        }
        tri_buf_putc(out, ']');
        break;
    }
}

/* Attribute i when it is worth writing, else NULL. */
static const tri_attr *written_attr(const tri_node *node, int32_t i) {
    const tri_attr *a = &node->attrs[i];
    if (!node->plugin && is_default(a, &tri_op_get(node->op)->attrs[i])) return NULL;
    return a;
}

static void print_op_name(tri_buf *out, const tri_node *node) {
    if (node->plugin)
        tri_buf_printf(out, "plugin.%s", node->plugin);
    else
        tri_buf_puts(out, tri_op_get(node->op)->name);
    if (node->version != 1) tri_buf_printf(out, ".%" PRId32, node->version);
}

static void print_operands(tri_buf *out, const tri_node *node) {
    const tri_op_info *info = tri_op_get(node->op);
    bool first = true;
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        bool by_name = !node->plugin && info->operand_optional[i];
        if (!value && by_name) continue;
        if (!first) tri_buf_puts(out, ", ");
        first = false;
        if (by_name) tri_buf_printf(out, "%s=", info->operand_names[i]);
        if (value)
            tri_buf_printf(out, "%%%" PRId32, value->id);
        else
            tri_buf_putc(out, '_');
    }
}

static void print_node(tri_buf *out, const tri_node *node) {
    tri_buf_puts(out, "  ");
    for (int32_t i = 0; i < node->n_results; i++)
        tri_buf_printf(out, "%s%%%" PRId32, i > 0 ? ", " : "", node->results[i]->id);
    if (node->n_results > 0) tri_buf_puts(out, " = ");
    print_op_name(out, node);
    if (node->n_operands > 0) {
        tri_buf_putc(out, '(');
        print_operands(out, node);
        tri_buf_putc(out, ')');
    }
    for (int32_t i = 0; i < node->n_attrs; i++) {
        const tri_attr *a = written_attr(node, i);
        if (!a) continue;
        tri_buf_putc(out, ' ');
        print_attr(out, a);
    }
    for (int32_t i = 0; i < node->n_results; i++)
        tri_buf_printf(
            out, "%s%s", i > 0 ? ", " : " : ", tri_type_print(&node->results[i]->type).s);
    if (*node->scope) tri_buf_printf(out, "        # %s", node->scope);
    tri_buf_putc(out, '\n');
}

static void print_group(tri_buf *out, const tri_group *group, int32_t index) {
    static const char *const kinds[] = {"full", "sliding", "recurrent"};
    tri_buf_printf(out, "  group %" PRId32 " %s", index, kinds[group->kind]);
    if (group->kind == TRI_GROUP_SLIDING) tri_buf_printf(out, " window=%" PRId32, group->window);
    if (group->kind != TRI_GROUP_RECURRENT)
        tri_buf_printf(out, " tokens_per_block=%" PRId32, group->tokens_per_block);
    tri_buf_putc(out, '\n');
}

void tri_graph_print_to(const tri_graph *g, tri_buf *out) {
    tri_buf_puts(out, "trireme.graph 1\ngraph ");
    print_string(out, g->name);
    tri_buf_puts(out, " {\n");
    for (int32_t i = 0; i < g->n_groups; i++)
        print_group(out, &g->groups[i], i);
    for (const tri_node *node = g->first; node; node = node->next)
        print_node(out, node);
    for (int32_t i = 0; i < g->n_outputs; i++)
        tri_buf_printf(
            out, "  output %s = %%%" PRId32 "\n", g->outputs[i].name, g->outputs[i].value->id);
    tri_buf_puts(out, "}\n");
}

tri_status tri_graph_print(const tri_graph *g, char **text, tri_error *err) {
    tri_buf out = {0};
    tri_graph_print_to(g, &out);
    tri_status rc = tri_buf_status(&out, err);
    if (rc) {
        tri_buf_deinit(&out);
        tri_error_context(err, "printing graph %s", g->name);
        return rc;
    }
    *text = out.ptr;
    return TRI_OK;
}

/* ---- expressions ---- */

static void print_expression(const tri_value *value, size_t limit, tri_buf *out) {
    const tri_node *node = value->node;
    bool first = true;
    if (out->len > limit) {
        out->failed = true;
        return;
    }
    print_op_name(out, node);
    tri_buf_putc(out, '(');
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (!first) tri_buf_puts(out, ", ");
        first = false;
        if (!node->operands[i])
            tri_buf_putc(out, '_');
        else if (!out->failed)
            print_expression(node->operands[i], limit, out);
    }
    for (int32_t i = 0; i < node->n_attrs; i++) {
        const tri_attr *a = written_attr(node, i);
        if (!a) continue;
        if (!first) tri_buf_puts(out, ", ");
        first = false;
        if (node->op == TRI_OP_WEIGHT)
            print_string(out, a->s);
        else
            print_attr(out, a);
    }
    tri_buf_putc(out, ')');
    if (value->result > 0) tri_buf_printf(out, "#%" PRId32, value->result);
}

/* Recursion is as deep as verify lets constants be.  A value used over and over can still make the
 * text grow without end: past MAX_EXPRESSION_BYTES the buffer is marked as failed. */
void tri_value_print_expression(const tri_value *value, tri_buf *out) {
    TRI_ASSERT(value->constant);
    print_expression(value, out->len + MAX_EXPRESSION_BYTES, out);
}
