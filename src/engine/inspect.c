#include "engine/inspect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static tri_inspect_size scaled(int64_t n, const char *unit) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    tri_inspect_size out;
    double value = (double)n;
    int p = 0;
    while (value >= 999.95 && p < 4) {
        value /= 1000;
        p++;
    }
    const char *gap = p > 0 || *unit ? " " : "";
    (void)snprintf(
        out.s, sizeof out.s, p > 0 ? "%.1f%s%s%s" : "%.0f%s%s%s", value, gap, prefixes[p], unit);
    return out;
}

tri_inspect_size tri_inspect_bytes(int64_t n) {
    return scaled(n, "B");
}

tri_inspect_size tri_inspect_count(int64_t n) {
    return scaled(n, "");
}

void tri_inspect_add_fact(tri_inspection *inspection, const char *key, const char *format, ...) {
    char text[512];
    va_list args;
    if (inspection->n_facts == TRI_INSPECT_MAX_FACTS) return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *value = tri_arena_strdup(&inspection->arena, text);
    if (value) inspection->facts[inspection->n_facts++] = (tri_inspect_fact){key, value};
}

static tri_status keep(tri_inspection *inspection, tri_buf *from, const char **to, tri_error *err) {
    tri_status rc = tri_buf_status(from, err);
    if (!rc) {
        *to = tri_arena_strndup(&inspection->arena, from->ptr ? from->ptr : "", from->len);
        if (!*to) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    }
    tri_buf_deinit(from);
    return rc;
}

bool tri_inspect_is(const tri_inspection *inspection, const char *what) {
    return strcmp(inspection->what, what) == 0;
}

static tri_status add_texts(
    tri_inspection *inspection, uint32_t what, const tri_engine_options *options, tri_error *err) {
    if (what & TRI_INSPECT_GRAPH) {
        tri_buf text = {0};
        tri_status rc = tri_inspect_graph_text(inspection, false, options, &text, err);
        if (rc) tri_buf_deinit(&text);
        TRI_TRY(rc);
        TRI_TRY(keep(inspection, &text, &inspection->graph, err));
    }
    if (what & TRI_INSPECT_PLAN) {
        tri_buf text = {0};
        if (tri_inspect_is(inspection, "rank of an engine"))
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "%s is one rank of an engine; a plan is made from the whole: give the directory",
                inspection->path);
        if (!tri_inspect_is(inspection, "engine"))
            return TRI_FAIL(err, TRI_E_ARGUMENT, "%s is a %s and has no plan: only engines do",
                inspection->path, inspection->what);
        tri_status rc = tri_inspect_plan_text(inspection->path, options, &text, err);
        if (rc) tri_buf_deinit(&text);
        TRI_TRY(rc);
        TRI_TRY(keep(inspection, &text, &inspection->plan, err));
    }
    return TRI_OK;
}

tri_status tri_inspect(const char *path, uint32_t what, const tri_engine_options *options,
    char **text, tri_error *err) {
    tri_inspection inspection = {0};
    tri_buf out = {0};
    if (!path || !text) return TRI_FAIL(err, TRI_E_ARGUMENT, "inspect: a path is needed");
    if ((what & TRI_INSPECT_DOT) && (what & TRI_INSPECT_JSON))
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "as JSON and as Graphviz (dot) at once: one is wanted; JSON holds the graph as text "
            "(graph)");
    tri_status rc = tri_inspect_read(&inspection, path, what, err);
    if (rc) goto done;
    if (what & TRI_INSPECT_DOT) {
        tri_buf dot = {0};
        rc = tri_inspect_graph_text(&inspection, true, options, &dot, err);
        if (!rc) rc = tri_buf_status(&dot, err);
        if (!rc) tri_inspect_put_lines(&out, (tri_str){dot.ptr, dot.len});
        tri_buf_deinit(&dot);
    } else {
        rc = add_texts(&inspection, what, options, err);
        if (!rc && (what & TRI_INSPECT_JSON)) tri_inspect_show_json(&inspection, what, &out);
        if (!rc && !(what & TRI_INSPECT_JSON)) tri_inspect_show_text(&inspection, what, &out);
    }
    if (!rc) rc = tri_buf_status(&out, err);

done:
    tri_inspection_deinit(&inspection);
    if (rc) {
        tri_buf_deinit(&out);
    } else {
        *text = out.ptr;
    }
    return rc;
}
