/* Whatever parses can be read in full: every value, every tensor's ends, and a model's config,
 * which then passes its own check. */
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "data/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const volatile uint8_t *at) {
    (void)*at;
}

static void drop_line(void *user, tri_log_level level, const char *line) {
    (void)user, (void)level, (void)line;
}

static void read_values(const tri_gguf *g) {
    volatile double sum = 0;
    for (int32_t i = 0; i < g->n_values; i++) {
        const tri_gguf_value *v = &g->values[i];
        int64_t i64 = 0;
        double f64 = 0;
        bool flag = false;
        tri_str text = {0};
        TRI_ASSERT(tri_gguf_find(g, v->key) == v);
        tri_gguf_read_i64(g, v->key, -10, 1000, &i64, NULL);
        tri_gguf_read_f64(g, v->key, &f64, NULL);
        tri_gguf_read_bool(g, v->key, &flag, NULL);
        tri_gguf_read_str(g, v->key, &text, NULL);
        sum = sum + (double)i64 + (text.len ? (double)text.ptr[text.len - 1] : 0.0);
        for (int64_t k = -1; k <= v->n; k++)
            sum = sum + (double)tri_gguf_array_i64(v, k) + tri_gguf_array_f64(v, k);
        for (int64_t k = 0; v->strings && k < v->n; k++) {
            tri_str s = v->strings[k];
            sum = sum + (s.len ? (double)s.ptr[0] + (double)s.ptr[s.len - 1] : 0.0);
        }
    }
}

static void read_tensors(const tri_gguf *g, const uint8_t *data, size_t size) {
    for (int32_t i = 0; i < g->n_tensors; i++) {
        const tri_gguf_tensor *t = &g->tensors[i];
        TRI_ASSERT(tri_gguf_tensor_find(g, t->name) == t);
        TRI_ASSERT(t->n_bytes > 0 && t->data > data && t->data + t->n_bytes <= data + size);
        touch(t->data);
        touch(t->data + t->n_bytes - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tri_arena arena;
    tri_gguf g;
    tri_model_config config;
    tri_error err = {0};
    tri_log_configure(TRI_LOG_ERROR, drop_line, NULL);
    tri_arena_init(&arena, 64 << 20);
    if (tri_gguf_parse(&g, data, (int64_t)size, &arena, &err) == TRI_OK) {
        read_values(&g);
        read_tensors(&g, data, size);
        if (tri_model_config_from_gguf(&config, &g, &arena, &err) == TRI_OK)
            TRI_ASSERT(tri_model_config_check(&config, &err) == TRI_OK);
        tri_gguf_close(&g);
    } else {
        TRI_ASSERT(err.message[0]);
    }
    tri_arena_deinit(&arena);
    return 0;
}
