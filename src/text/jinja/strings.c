#include "text/jinja/strings.h"

#include <string.h>

#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/utf8.h"

/* ---- case ---- */

/* Python's rule for a capital sigma: small final sigma at the end of a word. */
static uint32_t lower_sigma(const tri_jinja_str *s, size_t at, size_t n) {
    bool cased = false;
    uint32_t c;
    for (size_t i = at; i > 0;) {
        i = tri_utf8_before(s->ptr, i);
        tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (tri_jinja_is_case_ignorable(c)) continue;
        cased = tri_jinja_is_cased(c);
        break;
    }
    if (!cased) return 0x3C3;
    for (size_t i = at + n; i < s->n;) {
        i += tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (tri_jinja_is_case_ignorable(c)) continue;
        return tri_jinja_is_cased(c) ? 0x3C3 : 0x3C2;
    }
    return 0x3C2;
}

static void put_cased(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s, size_t at,
    size_t n, uint32_t c, tri_jinja_case how) {
    uint32_t mapped[3];
    char text[12];
    size_t len = 0;
    int count = tri_jinja_map_case(how, c, mapped);
    if (how == TRI_JINJA_LOWER && c == 0x3A3) mapped[0] = lower_sigma(s, at, n);
    for (int i = 0; i < count; i++)
        len += tri_utf8_encode(mapped[i], text + len);
    tri_jinja_put(vm, out, text, len, tri_jinja_str_plain_at(s, at));
}

static tri_jinja_value cased_ascii(tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_case how) {
    char *text = tri_jinja_alloc(vm, s->n);
    if (!text || !tri_jinja_step(vm, (int64_t)(s->n >> 6))) return tri_jinja_error();
    char first = how == TRI_JINJA_UPPER ? 'a' : 'A';
    for (size_t i = 0; i < s->n; i++) {
        char c = s->ptr[i];
        text[i] = (unsigned char)(c - first) < 26 ? (char)(c ^ 32) : c;
    }
    tri_jinja_str *copy = tri_jinja_str_copy(vm, s); /* the spans are the same */
    if (!copy) return tri_jinja_error();
    copy->ptr = text;
    copy->hash = 0;
    copy->room = NULL;
    return tri_jinja_of_str(copy);
}

tri_jinja_value tri_jinja_cased(tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_case how) {
    tri_jinja_out out = {0};
    if (tri_jinja_str_ascii(s))
        return cased_ascii(vm, s, how == TRI_JINJA_FOLD ? TRI_JINJA_LOWER : how);
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        put_cased(vm, &out, s, i, n, c, how);
    }
    return tri_jinja_step(vm, (int64_t)(s->n >> 4)) ? tri_jinja_out_str(vm, &out)
                                                    : tri_jinja_error();
}

tri_jinja_value tri_jinja_capitalized(tri_jinja_vm *vm, tri_jinja_str *s) {
    tri_jinja_out out = {0};
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        put_cased(vm, &out, s, i, n, c, i ? TRI_JINJA_LOWER : TRI_JINJA_TITLE);
    }
    return tri_jinja_step(vm, (int64_t)(s->n >> 4)) ? tri_jinja_out_str(vm, &out)
                                                    : tri_jinja_error();
}

tri_jinja_value tri_jinja_titled(tri_jinja_vm *vm, tri_jinja_str *s) {
    tri_jinja_out out = {0};
    bool inside = false;
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        put_cased(vm, &out, s, i, n, c, inside ? TRI_JINJA_LOWER : TRI_JINJA_TITLE);
        inside = tri_jinja_is_cased(c);
    }
    return tri_jinja_step(vm, (int64_t)(s->n >> 4)) ? tri_jinja_out_str(vm, &out)
                                                    : tri_jinja_error();
}

tri_jinja_value tri_jinja_swapped(tri_jinja_vm *vm, tri_jinja_str *s) {
    tri_jinja_out out = {0};
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (tri_jinja_is_upper(c))
            put_cased(vm, &out, s, i, n, c, TRI_JINJA_LOWER);
        else if (tri_jinja_is_lower(c))
            put_cased(vm, &out, s, i, n, c, TRI_JINJA_UPPER);
        else
            tri_jinja_put_part(vm, &out, s, i, i + n);
    }
    return tri_jinja_step(vm, (int64_t)(s->n >> 4)) ? tri_jinja_out_str(vm, &out)
                                                    : tri_jinja_error();
}

static bool parts_words(uint32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || tri_jinja_is_space(c);
}

tri_jinja_value tri_jinja_title_words(tri_jinja_vm *vm, tri_jinja_str *s) {
    tri_jinja_out out = {0};
    for (size_t begin = 0; begin < s->n && !vm->rc;) {
        uint32_t c;
        size_t end = begin, first = tri_utf8_point(s->ptr + begin, s->n - begin, &c);
        bool between = parts_words(c);
        while (end < s->n) {
            uint32_t d;
            size_t n = tri_utf8_point(s->ptr + end, s->n - end, &d);
            if (parts_words(d) != between) break;
            end += n;
        }
        put_cased(vm, &out, s, begin, first, c, TRI_JINJA_UPPER);
        tri_jinja_str *rest = tri_jinja_sub(vm, s, begin + first, end);
        if (!rest) return tri_jinja_error();
        tri_jinja_value lower = tri_jinja_cased(vm, rest, TRI_JINJA_LOWER);
        TRI_JINJA_TRY(lower);
        tri_jinja_put_str(vm, &out, lower.as.s);
        begin = end;
    }
    return tri_jinja_out_str(vm, &out);
}

/* ---- strip ---- */

static bool in_chars(uint32_t c, const tri_jinja_str *chars) {
    uint32_t d;
    if (!chars) return tri_jinja_is_space(c);
    for (size_t i = 0; i < chars->n;) {
        i += tri_utf8_point(chars->ptr + i, chars->n - i, &d);
        if (c == d) return true;
    }
    return false;
}

tri_jinja_value tri_jinja_strip(
    tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_str *chars, int sides) {
    size_t begin = 0, end = s->n;
    uint32_t c;
    while ((sides & TRI_JINJA_LEFT) && begin < end) {
        size_t n = tri_utf8_point(s->ptr + begin, end - begin, &c);
        if (!in_chars(c, chars)) break;
        begin += n;
    }
    while ((sides & TRI_JINJA_RIGHT) && end > begin) {
        size_t at = tri_utf8_before(s->ptr, end);
        tri_utf8_point(s->ptr + at, end - at, &c);
        if (!in_chars(c, chars)) break;
        end = at;
    }
    int64_t work = (int64_t)(s->n - (end - begin)) * (chars ? (int64_t)chars->n + 1 : 1);
    return tri_jinja_step(vm, work >> 4) ? tri_jinja_of_str(tri_jinja_sub(vm, s, begin, end))
                                         : tri_jinja_error();
}

/* ---- replace ---- */

tri_jinja_value tri_jinja_replace(
    tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_str *from, tri_jinja_str *to, int64_t count) {
    tri_jinja_out out = {0};
    size_t at = 0;
    if (from->n) {
        while (count != 0 && !vm->rc) {
            int64_t hit = tri_jinja_str_find(vm, s, from, at);
            if (hit < 0) break;
            tri_jinja_put_part(vm, &out, s, at, (size_t)hit);
            tri_jinja_put_str(vm, &out, to);
            at = (size_t)hit + from->n;
            if (count > 0) count--;
            if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
        }
        if (!at && !vm->rc) return tri_jinja_of_str(s);
    } else {
        while (count != 0 && !vm->rc) { /* before each character and at the end */
            uint32_t c;
            tri_jinja_put_str(vm, &out, to);
            if (count > 0) count--;
            if (at >= s->n || !tri_jinja_step(vm, 1)) break;
            size_t n = tri_utf8_point(s->ptr + at, s->n - at, &c);
            tri_jinja_put_part(vm, &out, s, at, at + n);
            at += n;
        }
    }
    tri_jinja_put_part(vm, &out, s, at, s->n);
    return tri_jinja_out_str(vm, &out);
}

/* ---- split ---- */

static bool push_part(
    tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_str *s, size_t begin, size_t end) {
    tri_jinja_str *part = tri_jinja_sub(vm, s, begin, end);
    return part && tri_jinja_push(vm, items, tri_jinja_of_str(part));
}

static size_t skip_while(const tri_jinja_str *s, size_t at, bool space) {
    uint32_t c;
    for (size_t n; at < s->n; at += n) {
        n = tri_utf8_point(s->ptr + at, s->n - at, &c);
        if (tri_jinja_is_space(c) != space) break;
    }
    return at;
}

static size_t back_while(const tri_jinja_str *s, size_t end, bool space) {
    uint32_t c;
    while (end > 0) {
        size_t at = tri_utf8_before(s->ptr, end);
        tri_utf8_point(s->ptr + at, end - at, &c);
        if (tri_jinja_is_space(c) != space) break;
        end = at;
    }
    return end;
}

static bool split_space(tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_str *s, int64_t max) {
    size_t at = skip_while(s, 0, true);
    for (int64_t n = 0; at < s->n && (max < 0 || n < max); n++) {
        size_t end = skip_while(s, at, false);
        if (!push_part(vm, items, s, at, end)) return false;
        at = skip_while(s, end, true);
    }
    if (at >= s->n) return true;
    return push_part(vm, items, s, at, s->n); /* as many as allowed: the rest as it is */
}

static bool split_space_right(
    tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_str *s, int64_t max) {
    size_t end = back_while(s, s->n, true);
    for (int64_t n = 0; end > 0 && (max < 0 || n < max); n++) {
        size_t begin = back_while(s, end, false);
        if (!push_part(vm, items, s, begin, end)) return false;
        end = back_while(s, begin, true);
    }
    return !end || push_part(vm, items, s, 0, end);
}

static bool split_by(tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_str *s,
    const tri_jinja_str *separator, int64_t max) {
    size_t at = 0;
    for (int64_t n = 0; max < 0 || n < max; n++) {
        int64_t hit = tri_jinja_str_find(vm, s, separator, at);
        if (hit < 0) break;
        if (!push_part(vm, items, s, at, (size_t)hit)) return false;
        at = (size_t)hit + separator->n;
    }
    return push_part(vm, items, s, at, s->n);
}

static bool split_by_right(tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_str *s,
    const tri_jinja_str *separator, int64_t max) {
    size_t end = s->n;
    for (int64_t n = 0; max < 0 || n < max; n++) {
        int64_t hit = tri_jinja_str_rfind(vm, s, separator, end);
        if (hit < 0) break;
        if (!push_part(vm, items, s, (size_t)hit + separator->n, end)) return false;
        end = (size_t)hit;
    }
    return push_part(vm, items, s, 0, end);
}

tri_jinja_value tri_jinja_split(
    tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_str *separator, int64_t max, bool from_right) {
    tri_jinja_items items = {0};
    bool ok;
    if (separator && !separator->n) return tri_jinja_fail(vm, "empty separator");
    if (!tri_jinja_step(vm, (int64_t)(s->n >> 6))) return tri_jinja_error();
    if (from_right) {
        ok = separator ? split_by_right(vm, &items, s, separator, max)
                       : split_space_right(vm, &items, s, max);
        for (size_t i = 0; i < items.n / 2; i++) {
            tri_jinja_value v = items.items[i];
            items.items[i] = items.items[items.n - 1 - i];
            items.items[items.n - 1 - i] = v;
        }
    } else {
        ok = separator ? split_by(vm, &items, s, separator, max) : split_space(vm, &items, s, max);
    }
    return ok && !vm->rc ? tri_jinja_items_list(vm, &items) : tri_jinja_error();
}

tri_jinja_value tri_jinja_lines(tri_jinja_vm *vm, tri_jinja_str *s, bool keep_ends) {
    tri_jinja_items items = {0};
    size_t begin = 0;
    if (!tri_jinja_step(vm, (int64_t)(s->n >> 6))) return tri_jinja_error();
    while (begin < s->n) {
        size_t end = begin, next = s->n;
        while (end < s->n) {
            uint32_t c;
            size_t n = tri_utf8_point(s->ptr + end, s->n - end, &c);
            if (tri_jinja_is_break(c)) {
                next = end + n;
                if (c == '\r' && next < s->n && s->ptr[next] == '\n') next++;
                break;
            }
            end += n;
        }
        if (!push_part(vm, &items, s, begin, keep_ends ? next : end)) return tri_jinja_error();
        begin = next;
    }
    return tri_jinja_items_list(vm, &items);
}

/* ---- join and pad ---- */

tri_jinja_value tri_jinja_join(
    tri_jinja_vm *vm, tri_jinja_str *separator, tri_jinja_value iterable, bool strs_only) {
    tri_jinja_iter *it = tri_jinja_iterate(vm, iterable);
    tri_jinja_out out = {0};
    tri_jinja_value item;
    int got;
    if (!it) return tri_jinja_error();
    for (int64_t n = 0; (got = tri_jinja_next(vm, it, &item)) > 0; n++) {
        if (strs_only && item.kind != TRI_JINJA_STR) {
            return tri_jinja_fail(vm, "sequence item %" PRId64 ": expected str instance, %s found",
                n, item.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(item));
        }
        if (n) tri_jinja_put_str(vm, &out, separator);
        tri_jinja_put_value(vm, &out, item);
        if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
    }
    return got < 0 ? tri_jinja_error() : tri_jinja_out_str(vm, &out);
}

static void put_fill(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *fill, int64_t n) {
    for (int64_t i = 0; i < n && !vm->rc; i++) {
        tri_jinja_put_str(vm, out, fill);
        if (!tri_jinja_step(vm, 1)) return;
    }
}

tri_jinja_value tri_jinja_pad(
    tri_jinja_vm *vm, tri_jinja_str *s, int64_t width, const tri_jinja_str *fill, int sides) {
    int64_t len = tri_jinja_str_count(s), total = width - len;
    if (total <= 0) return tri_jinja_of_str(s);
    /* CPython's str.center: the odd one goes left when the width is odd. */
    int64_t left = sides == (TRI_JINJA_LEFT | TRI_JINJA_RIGHT) ? total / 2 + (total & width & 1)
                   : sides == TRI_JINJA_LEFT                   ? total
                                                               : 0;
    tri_jinja_out out = {0};
    put_fill(vm, &out, fill, left);
    tri_jinja_put_str(vm, &out, s);
    put_fill(vm, &out, fill, total - left);
    return tri_jinja_out_str(vm, &out);
}
