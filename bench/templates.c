/* templates.c - renderings a second of chat templates; driven by bench/templates.py, which times
 * jinja2 beside it.  Each line of stdin: {source, inputs, model, seconds}; each line of stdout:
 * {renders_per_s, compile_us, bytes} or {error}.  Inputs are parsed once, as jinja2 gets them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "text/jinja/jinja.h"

static tri_status measure(const tri_json *request, tri_json_writer *w, tri_error *err) {
    const char *source = "";
    double seconds = 0.2;
    tri_jinja *jinja = NULL;
    tri_jinja_result result = {{0}, {0}};
    TRI_TRY(tri_json_read_string(request, "source", &source, err));
    TRI_TRY(tri_json_read_f64(request, "seconds", &seconds, err));
    int64_t begin = tri_clock_ns(), n = 0, end;
    TRI_TRY(tri_jinja_compile(&jinja, tri_str_of(source), err));
    int64_t compiled = tri_clock_ns();
    tri_jinja_inputs inputs = {.user = tri_json_get(request, "inputs"),
        .model = tri_json_get(request, "model"),
        .now_s = 1750000000};
    tri_status rc = TRI_OK;
    do {
        for (int i = 0; i < 16 && !rc; i++, n++) {
            rc = tri_jinja_render(jinja, &inputs, NULL, &result, err);
        }
        end = tri_clock_ns();
    } while (!rc && (double)(end - compiled) < seconds * 1e9);
    if (!rc) {
        tri_json_key(w, "renders_per_s");
        tri_json_f64(w, (double)n * 1e9 / (double)(end - compiled));
        tri_json_key(w, "compile_us");
        tri_json_f64(w, (double)(compiled - begin) / 1e3);
        tri_json_key(w, "bytes");
        tri_json_i64(w, (int64_t)result.text.len);
    }
    tri_jinja_result_deinit(&result);
    tri_jinja_free(jinja);
    return rc;
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, stdin)) > 0) {
        tri_arena arena;
        tri_error err = {0};
        tri_buf out = {0};
        tri_json_writer w;
        const tri_json *request;
        tri_arena_init(&arena, 0);
        tri_json_writer_init(&w, &out, 0);
        tri_json_begin_object(&w);
        tri_status rc = tri_json_parse((tri_str){line, (size_t)n}, &arena, &request, &err);
        if (!rc) rc = measure(request, &w, &err);
        if (rc) {
            tri_json_key(&w, "error");
            tri_json_string(&w, tri_str_of(err.message));
        }
        tri_json_end_object(&w);
        printf("%s\n", out.ptr);
        fflush(stdout);
        tri_buf_deinit(&out);
        tri_arena_deinit(&arena);
    }
    free(line);
    return 0;
}
