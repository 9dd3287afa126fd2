#include "engine/plan_text.h"

#include <string.h>

static const char first_line[] = "trireme.plan 1";
enum { MAX_LINES = 1 << 20, N_WORDS = 4 };

static void print_list(const char *list, const tri_pick *picks, int32_t n, tri_buf *out) {
    for (int32_t i = 0; i < n; i++) {
        const tri_plugin_kernel *k = picks[i].kernel;
        tri_buf_printf(out, "%s %" PRId32 " %s %s %s\n", list, i, tri_node_op_name(picks[i].node),
            k->name, k->numerics ? k->numerics : "");
    }
}

void tri_plan_print(const tri_pick *forward, int32_t n_forward, const tri_pick *sample,
    int32_t n_sample, tri_buf *out) {
    tri_buf_printf(out, "%s\n", first_line);
    print_list("forward", forward, n_forward, out);
    print_list("sample", sample, n_sample, out);
}

/* ---- reading ---- */

static bool next_line(tri_str *text, tri_str *line) {
    if (text->len == 0) return false;
    const char *end = memchr(text->ptr, '\n', text->len);
    size_t n = end ? (size_t)(end - text->ptr) : text->len;
    *line = (tri_str){text->ptr, n};
    n += end != NULL;
    text->ptr += n;
    text->len -= n;
    return true;
}

static tri_str next_word(tri_str *line) {
    const char *end = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
    tri_str word = {line->ptr, end ? (size_t)(end - line->ptr) : line->len};
    size_t n = word.len + (end != NULL);
    line->ptr += n;
    line->len -= n;
    return word;
}

static int32_t count_lines(tri_str text) {
    int32_t n = 0;
    for (size_t i = 0; i < text.len && n < MAX_LINES; i++)
        n += text.ptr[i] == '\n';
    return n + 1;
}

static tri_status read_line(tri_plan_lists *lists, tri_str line, tri_arena *arena, tri_error *err) {
    tri_str whole = line, words[N_WORDS];
    int64_t index;
    for (int i = 0; i < N_WORDS; i++)
        words[i] = next_word(&line);
    bool forward = tri_str_is(words[0], "forward");
    tri_plan_line *list = forward ? lists->forward : lists->sample;
    int32_t *n = forward ? &lists->n_forward : &lists->n_sample;
    if ((!forward && !tri_str_is(words[0], "sample")) || !tri_str_to_i64(words[1], &index) ||
        index != *n || words[2].len == 0 || words[3].len == 0)
        return TRI_FAIL(
            err, TRI_E_FORMAT, "line '%.*s'", (int)(whole.len < 80 ? whole.len : 80), whole.ptr);
    tri_plan_line *l = &list[*n];
    l->op = tri_arena_strndup(arena, words[2].ptr, words[2].len);
    l->kernel = tri_arena_strndup(arena, words[3].ptr, words[3].len);
    l->numerics = tri_arena_strndup(arena, line.ptr, line.len);
    if (!l->op || !l->kernel || !l->numerics) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    (*n)++;
    return TRI_OK;
}

tri_status tri_plan_parse(tri_plan_lists *lists, tri_str text, tri_arena *arena, tri_error *err) {
    tri_plan_lists made = {0};
    tri_str line = {0};
    tri_status rc = TRI_OK;
    int32_t room = count_lines(text);
    made.forward = TRI_NEW_N(arena, tri_plan_line, room);
    made.sample = TRI_NEW_N(arena, tri_plan_line, room);
    if (!made.forward || !made.sample)
        rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    else if (room >= MAX_LINES)
        rc = TRI_FAIL(err, TRI_E_LIMIT, "more than %d lines", MAX_LINES);
    else if (!next_line(&text, &line) || !tri_str_is(line, first_line))
        rc = TRI_FAIL(err, TRI_E_FORMAT, "its first line is not '%s'", first_line);
    while (!rc && next_line(&text, &line))
        rc = read_line(&made, line, arena, err);
    if (rc)
        tri_error_context(err, "plan");
    else
        *lists = made;
    return rc;
}
