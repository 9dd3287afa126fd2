/* text.h - graphs from text and to text, for the tests of passes.  Include after cmocka.h. Whatever
 * goes wrong fails the test. */
#ifndef TESTS_PASSES_TEXT_H
#define TESTS_PASSES_TEXT_H

#include <string.h>

#include "graph/ir.h"

struct tri_plugin_registry;

/* The lines inside the braces. */
static inline tri_graph *text_parse(const char *body, const struct tri_plugin_registry *plugins) {
    tri_error err = {0};
    tri_graph *g = NULL;
    tri_buf text = {0};
    tri_buf_printf(&text, "trireme.graph 1\ngraph \"test\" {\n%s}\n", body);
    if (tri_graph_parse_with(&g, text.ptr, text.len, plugins, &err)) fail_msg("%s", err.message);
    if (tri_graph_verify(g, &err)) fail_msg("%s", err.message);
    tri_buf_deinit(&text);
    return g;
}

static inline char *text_print(const tri_graph *g) {
    tri_error err = {0};
    char *text = NULL;
    if (tri_graph_print(g, &text, &err)) fail_msg("%s", err.message);
    return text;
}

/* What holds after every pass: the rules, and that inference changes nothing. */
static inline void text_check(tri_graph *g) {
    tri_error err = {0};
    char *before = text_print(g);
    if (tri_graph_verify(g, &err)) fail_msg("%s", err.message);
    if (tri_graph_infer(g, &err)) fail_msg("%s", err.message);
    char *after = text_print(g);
    assert_string_equal(before, after);
    tri_free(before);
    tri_free(after);
}

static inline void text_assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("'%s' is not in: %s", part, text);
}

static inline void text_assert_lacks(const char *text, const char *part) {
    if (strstr(text, part)) fail_msg("'%s' is in: %s", part, text);
}

static inline int32_t text_count(const tri_graph *g, tri_op op) {
    int32_t n = 0;
    for (const tri_node *node = g->first; node; node = node->next)
        n += node->op == op;
    return n;
}

static inline tri_node *text_find(const tri_graph *g, tri_op op, int32_t index) {
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op == op && index-- == 0) return node;
    }
    fail_msg("no %s in the graph", tri_op_get(op)->name);
    return NULL;
}

#endif
