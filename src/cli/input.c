#include "cli/input.h"

enum { CHUNK_BYTES = 1 << 16 };

tri_status tri_read_stream(
    FILE *file, const char *name, size_t limit_bytes, tri_buf *out, tri_error *err) {
    for (size_t n = CHUNK_BYTES; n > 0;) {
        char *to = tri_buf_extend(out, CHUNK_BYTES);
        if (!to)
            return TRI_FAIL(
                err, TRI_E_MEMORY, "%s: no memory for more than %zu bytes", name, out->len);
        n = fread(to, 1, CHUNK_BYTES, file);
        out->len -= CHUNK_BYTES - n;
        if (limit_bytes && out->len > limit_bytes) {
            return TRI_FAIL(
                err, TRI_E_LIMIT, "%s: more than %zu MB, the limit", name, limit_bytes >> 20);
        }
    }
    if (ferror(file)) return tri_fail_errno(err, "read %s", name);
    return TRI_OK;
}
