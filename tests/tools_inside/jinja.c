/* jinja.c - renders templates for the oracle test: each line of stdin is a JSON object {source,
 * inputs, model, now, limits}, each line of stdout {text, plain: [begin, end, ...]} or {error,
 * status, compiled}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"

static void write_result(tri_json_writer *w, const tri_jinja_result *r) {
    tri_json_key(w, "text");
    tri_json_string(w, (tri_str){r->text.ptr, r->text.len});
    tri_json_key(w, "plain");
    tri_json_begin_array(w);
    const tri_text_span *spans = (const tri_text_span *)(const void *)r->plain.ptr;
    for (size_t i = 0; i < r->plain.len / sizeof *spans; i++) {
        tri_json_i64(w, (int64_t)spans[i].begin);
        tri_json_i64(w, (int64_t)spans[i].end);
    }
    tri_json_end_array(w);
}

typedef struct compiled { /* the last template, since many lines share one */
    char *source;
    size_t n;
    tri_jinja *jinja;
} compiled;

static tri_status compile(compiled *c, tri_str source, tri_error *err) {
    if (c->jinja && c->n == source.len && !memcmp(c->source, source.ptr, c->n)) return TRI_OK;
    tri_jinja_free(c->jinja);
    c->jinja = NULL;
    TRI_TRY(tri_jinja_compile(&c->jinja, source, err));
    free(c->source);
    c->source = malloc(source.len + 1);
    if (!c->source) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu bytes", source.len);
    memcpy(c->source, source.ptr, source.len);
    c->n = source.len;
    return TRI_OK;
}

static tri_status render(
    compiled *c, const tri_json *request, tri_jinja_result *result, bool *made, tri_error *err) {
    const char *source = "";
    int64_t now = 0, steps = 0, output = 0, memory = 0, depth = 0;
    TRI_TRY(tri_json_read_string(request, "source", &source, err));
    const tri_json *limits = tri_json_get(request, "limits");
    TRI_TRY(tri_json_read_i64(request, "now", 0, INT64_MAX, &now, err));
    TRI_TRY(tri_json_read_i64(limits, "steps", 0, INT64_MAX, &steps, err));
    TRI_TRY(tri_json_read_i64(limits, "depth", 0, INT32_MAX, &depth, err));
    TRI_TRY(tri_json_read_i64(limits, "output", 0, INT64_MAX, &output, err));
    TRI_TRY(tri_json_read_i64(limits, "memory", 0, INT64_MAX, &memory, err));
    const tri_json *text = tri_json_get(request, "source");
    TRI_TRY(compile(c, text ? text->text : (tri_str){0}, err));
    *made = true;
    tri_jinja_inputs inputs = {.user = tri_json_get(request, "inputs"),
        .model = tri_json_get(request, "model"),
        .now_s = now};
    tri_jinja_limits l = {.max_steps = steps,
        .max_depth = (int32_t)depth,
        .max_output_bytes = (size_t)output,
        .max_memory_bytes = (size_t)memory};
    return tri_jinja_render(c->jinja, &inputs, &l, result, err);
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    compiled c = {0};
    tri_jinja_result result = {{0}, {0}};
    tri_buf out = {0};
    while ((n = getline(&line, &room, stdin)) > 0) {
        tri_arena arena;
        tri_error err = {0};
        tri_json_writer w;
        const tri_json *request;
        bool made = false;
        tri_arena_init(&arena, 0);
        tri_status rc = tri_json_parse((tri_str){line, (size_t)n}, &arena, &request, &err);
        if (!rc) rc = render(&c, request, &result, &made, &err);
        tri_buf_clear(&out);
        tri_json_writer_init(&w, &out, 0);
        tri_json_begin_object(&w);
        if (!rc) {
            write_result(&w, &result);
        } else {
            tri_json_key(&w, "error");
            tri_json_string(&w, tri_str_of(err.message));
            tri_json_key(&w, "status");
            tri_json_string(&w, tri_str_of(tri_status_name(rc)));
            tri_json_key(&w, "compiled");
            tri_json_bool(&w, made);
        }
        tri_json_end_object(&w);
        tri_buf_putc(&out, '\n');
        fwrite(out.ptr, 1, out.len, stdout);
        fflush(stdout);
        tri_arena_deinit(&arena);
    }
    tri_jinja_free(c.jinja);
    tri_jinja_result_deinit(&result);
    tri_buf_deinit(&out);
    free(c.source);
    free(line);
    return 0;
}
