/* json_fuzz.c - any bytes: both readers agree on what is JSON, and a tree written is read back as
 * the same tree. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

static tri_status read_events(tri_str text) {
    tri_json_reader r;
    tri_json_event e = {0};
    tri_json_reader_init(&r, text);
    do {
        tri_status rc = tri_json_next(&r, &e, NULL);
        if (rc) return rc;
        if (e.kind == TRI_JSON_KEY || e.kind == TRI_JSON_STRING) {
            char *out = malloc(e.raw.len ? e.raw.len : 1);
            require(out && tri_json_unescape(e.raw, out) <= e.raw.len);
            free(out);
        }
        if (e.kind == TRI_JSON_NUMBER) {
            int64_t integer;
            double value = tri_json_number_f64(e.raw);
            if (tri_json_number_i64(e.raw, &integer)) require((double)integer == value);
        }
    } while (e.kind != TRI_JSON_END);
    return TRI_OK;
}

static bool same(const tri_json *a, const tri_json *b) {
    if (a->kind != b->kind || a->boolean != b->boolean || a->n != b->n) return false;
    if (!tri_str_equal(a->text, b->text)) return false;
    for (int32_t i = 0; i < a->n; i++) {
        if (a->kind == TRI_JSON_OBJECT && !tri_str_equal(a->keys[i], b->keys[i])) return false;
        if (!same(&a->items[i], &b->items[i])) return false;
    }
    return true;
}

static void write_and_read_back(const tri_json *root, int32_t indent) {
    tri_buf out = {0};
    tri_arena arena = {0};
    tri_json_writer w;
    const tri_json *again;
    tri_json_writer_init(&w, &out, indent);
    tri_json_value(&w, root);
    require(tri_json_parse((tri_str){out.ptr, out.len}, &arena, &again, NULL) == TRI_OK);
    require(same(root, again));
    tri_arena_deinit(&arena);
    tri_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_str text = {(const char *)data, size};
    tri_arena arena;
    tri_error err = {0};
    const tri_json *root;
    tri_arena_init(&arena, (size_t)64 << 20);
    tri_status rc = tri_json_parse(text, &arena, &root, &err);
    require(rc == read_events(text));
    require(rc == err.status);
    if (!rc) {
        write_and_read_back(root, 0);
        write_and_read_back(root, 1);
    }
    tri_arena_deinit(&arena);
    return 0;
}
