#include "text/stop.h"

#include <string.h>

void tri_stop_filter_init(tri_stop_filter *f, const char *const *stops, int32_t n_stops) {
    *f = (tri_stop_filter){.stops = stops, .n_stops = n_stops};
}

void tri_stop_filter_deinit(tri_stop_filter *f) {
    tri_buf_deinit(&f->held);
}

/* Where the first stop string begins in held text, or SIZE_MAX. */
static size_t find_stop(const tri_stop_filter *f) {
    size_t best = SIZE_MAX;
    for (int32_t i = 0; i < f->n_stops; i++) {
        size_t n = strlen(f->stops[i]);
        const char *at =
            n && f->held.len >= n ? memmem(f->held.ptr, f->held.len, f->stops[i], n) : NULL;
        if (at && (size_t)(at - f->held.ptr) < best) best = (size_t)(at - f->held.ptr);
    }
    return best;
}

/* How many bytes at the end of held text are the beginning of a stop string. */
static size_t pending_bytes(const tri_stop_filter *f) {
    size_t most = 0;
    for (int32_t i = 0; i < f->n_stops; i++) {
        size_t n = strlen(f->stops[i]);
        size_t longest = n ? n - 1 : 0;
        if (longest > f->held.len) longest = f->held.len;
        for (size_t k = longest; k > most; k--) {
            if (!memcmp(f->held.ptr + f->held.len - k, f->stops[i], k)) most = k;
        }
    }
    return most;
}

bool tri_stop_filter_add(tri_stop_filter *f, tri_str text, tri_buf *out) {
    if (text.len == 0) return false;
    if (f->n_stops == 0) {
        tri_buf_append(out, text.ptr, text.len);
        return false;
    }
    tri_buf_append(&f->held, text.ptr, text.len);
    size_t stop = find_stop(f);
    if (stop != SIZE_MAX) {
        tri_buf_append(out, f->held.ptr, stop);
        tri_buf_clear(&f->held);
        return true;
    }
    size_t keep = pending_bytes(f), pass = f->held.len - keep;
    tri_buf_append(out, f->held.ptr, pass);
    memmove(f->held.ptr, f->held.ptr + pass, keep);
    f->held.len = keep;
    return false;
}

void tri_stop_filter_finish(tri_stop_filter *f, tri_buf *out) {
    if (f->held.len) tri_buf_append(out, f->held.ptr, f->held.len);
    tri_buf_clear(&f->held);
}
