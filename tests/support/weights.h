/* weights.h - reading, and comparing, what sources serve.  Header only; include after cmocka.h. */
#ifndef TRI_TESTS_WEIGHTS_H
#define TRI_TESTS_WEIGHTS_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/golden.h"

typedef struct weight_bytes { /* one weight of one rank, whole */
    const tri_source_weight *info;
    uint8_t *bytes;
    int64_t n_bytes;
} weight_bytes;

static inline tri_source *weights_open(
    const char *golden_path, tri_dtype dtype, int32_t tp, int32_t pp) {
    char path[512];
    tri_error err = {0};
    tri_source *s = NULL;
    tri_source_options options = {.dtype = dtype, .tp_size = tp, .pp_size = pp};
    (void)snprintf(path, sizeof path, "%s/golden/%s", TRI_TESTS_DIR, golden_path);
    golden_ok(tri_source_open(&s, path, &options, &err), &err);
    return s;
}

/* Read a few rows at a time, so that reads that start inside are tested too. */
static inline weight_bytes weights_read(const tri_source *s, int32_t rank, const char *name) {
    enum { STEP = 7 };
    tri_error err = {0};
    int32_t index = tri_source_find(s, rank, name);
    if (index < 0) fail_msg("rank %d has no %s", (int)rank, name);
    const tri_source_weight *info = tri_source_get(s, rank, index);
    weight_bytes w = {.info = info, .n_bytes = info->n_rows * info->row_bytes};
    w.bytes = malloc((size_t)w.n_bytes);
    for (int64_t r = 0; r < info->n_rows; r += STEP) {
        int64_t n = info->n_rows - r < STEP ? info->n_rows - r : STEP;
        golden_ok(tri_source_read(s, rank, index, r, n, w.bytes + r * info->row_bytes, &err), &err);
    }
    return w;
}

/* Rank `rank` of both has the same weights: names, order, types, bytes. */
static inline void weights_assert_equal(const tri_source *a, const tri_source *b, int32_t rank) {
    assert_int_equal(tri_source_n_weights(a, rank), tri_source_n_weights(b, rank));
    for (int32_t i = 0; i < tri_source_n_weights(a, rank); i++) {
        const char *name = tri_source_get(a, rank, i)->name;
        assert_string_equal(tri_source_get(b, rank, i)->name, name);
        weight_bytes x = weights_read(a, rank, name), y = weights_read(b, rank, name);
        if (!tri_type_equal(&x.info->type, &y.info->type) || x.n_bytes != y.n_bytes ||
            memcmp(x.bytes, y.bytes, (size_t)x.n_bytes) != 0)
            fail_msg("rank %d: %s differs", (int)rank, name);
        free(x.bytes);
        free(y.bytes);
    }
}

/* A fresh directory; weights_remove_dir when done. */
static inline char *weights_make_dir(void) {
    char *dir = strdup("/tmp/trireme_test_XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void weights_remove_dir(char *dir) {
    tri_error err = {0};
    golden_ok(tri_path_remove_tree(dir, &err), &err);
    free(dir);
}

#endif
