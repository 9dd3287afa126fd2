#include "text/compose.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "text/utf8.h"

enum {
    STRETCH = 1 << 16
}; /* bytes given to utf8proc at once, at least: it takes 4 times as many */

/* Characters that begin a stretch which composes as if nothing stood before it, and that nothing
 * but a character outside these ranges changes: starters that NFC leaves alone and that combine
 * with nothing in front.  Some such are not listed; they only cost time. */
static bool is_inert(uint32_t c) {
    return c < 0x300 || (c >= 0x1E00 && c <= 0x1EFF) || (c >= 0x2010 && c <= 0x2027) ||
           (c >= 0x2030 && c <= 0x205E) || (c >= 0x400 && c <= 0x482) ||
           (c >= 0x48A && c <= 0x52F) || (c >= 0x3000 && c <= 0x3029) ||
           (c >= 0x3041 && c <= 0x3096) || (c >= 0x30A0 && c <= 0x30FF) ||
           (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
           (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xFF00 && c <= 0xFF9D) ||
           (c >= 0x5D0 && c <= 0x5EA) || (c >= 0x620 && c <= 0x64A) || (c >= 0x391 && c <= 0x3C9) ||
           (c >= 0xE01 && c <= 0xE30) || (c >= 0x904 && c <= 0x939) ||
           (c >= 0x1F300 && c <= 0x1FAFF);
}

static size_t inert_length(
    tri_str text, size_t *last) { /* *last: where its last character begins */
    size_t at = 0;
    while (at < text.len) {
        size_t n = tri_utf8_ascii(text.ptr + at, text.len - at);
        if (n) {
            at += n;
            *last = at - 1;
        }
        for (; at < text.len && (uint8_t)text.ptr[at] >= 0x80; at += n) {
            if (!is_inert(tri_utf8_get(text.ptr + at, &n))) return at;
            *last = at;
        }
    }
    return at;
}

bool tri_is_normal(tri_normal_form form, tri_str text) {
    size_t last = 0;
    if (form == TRI_NFC) return inert_length(text, &last) == text.len;
    return tri_utf8_ascii(text.ptr, text.len) == text.len;
}

static tri_status map(tri_normal_form form, tri_str text, tri_buf *out, tri_error *err) {
    static const utf8proc_option_t options[] = {[TRI_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [TRI_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [TRI_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [TRI_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n = utf8proc_map(
        (const utf8proc_uint8_t *)text.ptr, (utf8proc_ssize_t)text.len, &mapped, options[form]);
    if (n < 0) return TRI_FAIL(err, TRI_E_MEMORY, "normalisation: %s", utf8proc_errmsg(n));
    tri_buf_append(out, mapped, (size_t)n);
    free(mapped);
    return TRI_OK;
}

/* The end of a stretch of at least `least` bytes that what follows cannot change: before ASCII. */
static size_t stretch(tri_str text, size_t least) {
    while (least < text.len && (uint8_t)text.ptr[least] >= 0x80)
        least++;
    return least < text.len ? least : text.len;
}

static tri_status compose_nfc(tri_str text, tri_buf *out, tri_error *err) {
    while (text.len) {
        size_t last = 0, same = inert_length(text, &last), n;
        if (same == text.len) {
            tri_buf_append(out, text.ptr, text.len);
            break;
        }
        /* From the inert character before, which may take up what follows, to the next one. */
        tri_buf_append(out, text.ptr, last);
        size_t end = same;
        while (end < text.len && !is_inert(tri_utf8_get(text.ptr + end, &n)))
            end += n;
        TRI_TRY(map(TRI_NFC, (tri_str){text.ptr + last, end - last}, out, err));
        text = (tri_str){text.ptr + end, text.len - end};
    }
    return TRI_OK;
}

tri_status tri_compose(tri_normal_form form, tri_str text, tri_buf *out, tri_error *err) {
    if (form == TRI_NFC) return compose_nfc(text, out, err);
    while (text.len) {
        size_t n = stretch(text, STRETCH);
        TRI_TRY(map(form, (tri_str){text.ptr, n}, out, err));
        text = (tri_str){text.ptr + n, text.len - n};
    }
    return TRI_OK;
}

void tri_lowercase(uint32_t code, tri_buf *out) {
    if (code < 0x80) {
        tri_buf_putc(out, (char)(code >= 'A' && code <= 'Z' ? code + 32 : code));
    } else if (code == 0x130) { /* the one whose full mapping is longer */
        tri_buf_append(out, "i\xCC\x87", 3);
    } else {
        tri_utf8_append(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
    }
}
