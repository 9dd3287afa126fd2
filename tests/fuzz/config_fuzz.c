/* First byte 'C': a checkpoint's config; else a HF config, up to a NUL, and generation config.
 * Whatever is read can be written, and what is written reads back and writes alike. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "data/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop_line(void *user, tri_log_level level, const char *line) {
    (void)user, (void)level, (void)line;
}

static tri_status read_input(
    tri_str text, bool checkpoint, tri_model_config *config, tri_arena *arena, tri_error *err) {
    if (checkpoint) return tri_model_config_from_checkpoint(config, text, arena, err);
    const char *nul = text.len ? memchr(text.ptr, 0, text.len) : NULL;
    tri_str generation = {0};
    if (nul) {
        size_t n = (size_t)(nul - text.ptr);
        generation = (tri_str){nul + 1, text.len - n - 1};
        text.len = n;
    }
    return tri_model_config_from_hf(config, text, generation, arena, err);
}

static tri_str write_config(const tri_model_config *config, tri_buf *out) {
    tri_json_writer w;
    tri_json_writer_init(&w, out, 0);
    tri_model_config_write(config, &w);
    TRI_ASSERT(tri_buf_status(out, NULL) == TRI_OK);
    return (tri_str){out->ptr, out->len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    tri_arena arena;
    tri_model_config config, again;
    tri_error err = {0};
    tri_buf first = {0}, second = {0};
    tri_str text = {(const char *)data + 1, size - 1};
    tri_log_configure(TRI_LOG_ERROR, drop_line, NULL);
    tri_arena_init(&arena, 64 << 20);
    if (read_input(text, data[0] == 'C', &config, &arena, &err) == TRI_OK) {
        tri_str written = write_config(&config, &first);
        TRI_ASSERT(tri_model_config_from_checkpoint(&again, written, &arena, &err) == TRI_OK);
        TRI_ASSERT(tri_str_equal(write_config(&again, &second), written));
    } else {
        TRI_ASSERT(err.message[0]);
    }
    tri_buf_deinit(&first);
    tri_buf_deinit(&second);
    tri_arena_deinit(&arena);
    return 0;
}
