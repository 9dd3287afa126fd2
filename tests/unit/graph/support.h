/* support.h - what the graph tests share. */
#ifndef TRI_TEST_GRAPH_SUPPORT_H
#define TRI_TEST_GRAPH_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/ir.h"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        tri_error assert_err = {0};                                                                \
        tri_error *err = &assert_err;                                                              \
        if ((call) != TRI_OK) fail_msg("%s", assert_err.message);                                  \
    } while (0)

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!strstr((text), (part))) fail_msg("'%s' is not in: %s", (part), (text));               \
    } while (0)

static inline void declare(
    tri_graph *g, const char *name, tri_dtype dtype, int64_t first, int64_t second) {
    int64_t dims[] = {first, second};
    tri_graph_declare_weight(g, name, dtype, dims, second > 0 ? 2 : 1);
}

static inline tri_graph *graph_named(const char *name) {
    tri_graph *g = NULL;
    assert_ok(tri_graph_create(&g, name, err));
    return g;
}

/* A graph body wrapped in its frame, parsed; `plugins` may be NULL. */
static inline tri_status parse_body(tri_graph **g, const char *body, tri_error *err) {
    tri_buf text = {0};
    tri_buf_printf(&text, "trireme.graph 1\ngraph \"t\" {\n%s}\n", body);
    tri_status rc = tri_graph_parse(g, text.ptr, text.len, err);
    tri_buf_deinit(&text);
    return rc;
}

#endif
