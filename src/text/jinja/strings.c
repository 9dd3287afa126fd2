#include "text/jinja/strings.h"

#include <string.h>

#include "text/jinja/iter.h"
#include "text/jinja/ops.h"

/* ---- case ---- */

/* Python's rule for a capital sigma: small final sigma at the end of a word. */
static uint32_t lower_sigma(const jj_str *s, size_t at, size_t n) {
    bool cased = false;
    uint32_t c;
    for (size_t i = at; i > 0;) {
        i = jj_last_point(s->ptr, i);
        jj_point(s->ptr + i, s->n - i, &c);
        if (jj_is_case_ignorable(c)) continue;
        cased = jj_is_cased(c);
        break;
    }
    if (!cased) return 0x3C3;
    for (size_t i = at + n; i < s->n;) {
        i += jj_point(s->ptr + i, s->n - i, &c);
        if (jj_is_case_ignorable(c)) continue;
        return jj_is_cased(c) ? 0x3C3 : 0x3C2;
    }
    return 0x3C2;
}

static void put_cased(
    jj_vm *vm, jj_out *out, const jj_str *s, size_t at, size_t n, uint32_t c, jj_case how) {
    uint32_t mapped[3];
    char text[12];
    size_t len = 0;
    int count = jj_map_case(how, c, mapped);
    if (how == JJ_LOWER && c == 0x3A3) mapped[0] = lower_sigma(s, at, n);
    for (int i = 0; i < count; i++)
        len += jj_put_point(mapped[i], text + len);
    jj_put(vm, out, text, len, jj_str_plain_at(s, at));
}

static jj_value cased_ascii(jj_vm *vm, jj_str *s, jj_case how) {
    char *text = jj_alloc(vm, s->n);
    if (!text || !jj_step(vm, (int64_t)(s->n >> 6))) return jj_error();
    char first = how == JJ_UPPER ? 'a' : 'A';
    for (size_t i = 0; i < s->n; i++) {
        char c = s->ptr[i];
        text[i] = (unsigned char)(c - first) < 26 ? (char)(c ^ 32) : c;
    }
    jj_str *copy = jj_str_copy(vm, s); /* the spans are the same */
    if (!copy) return jj_error();
    copy->ptr = text;
    copy->hash = 0;
    copy->room = NULL;
    return jj_of_str(copy);
}

jj_value jj_cased(jj_vm *vm, jj_str *s, jj_case how) {
    jj_out out = {0};
    if (jj_str_ascii(s)) return cased_ascii(vm, s, how == JJ_FOLD ? JJ_LOWER : how);
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = jj_point(s->ptr + i, s->n - i, &c);
        put_cased(vm, &out, s, i, n, c, how);
    }
    return jj_step(vm, (int64_t)(s->n >> 4)) ? jj_out_str(vm, &out) : jj_error();
}

jj_value jj_capitalized(jj_vm *vm, jj_str *s) {
    jj_out out = {0};
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = jj_point(s->ptr + i, s->n - i, &c);
        put_cased(vm, &out, s, i, n, c, i ? JJ_LOWER : JJ_TITLE);
    }
    return jj_step(vm, (int64_t)(s->n >> 4)) ? jj_out_str(vm, &out) : jj_error();
}

jj_value jj_titled(jj_vm *vm, jj_str *s) {
    jj_out out = {0};
    bool inside = false;
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = jj_point(s->ptr + i, s->n - i, &c);
        put_cased(vm, &out, s, i, n, c, inside ? JJ_LOWER : JJ_TITLE);
        inside = jj_is_cased(c);
    }
    return jj_step(vm, (int64_t)(s->n >> 4)) ? jj_out_str(vm, &out) : jj_error();
}

jj_value jj_swapped(jj_vm *vm, jj_str *s) {
    jj_out out = {0};
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = jj_point(s->ptr + i, s->n - i, &c);
        if (jj_is_upper(c))
            put_cased(vm, &out, s, i, n, c, JJ_LOWER);
        else if (jj_is_lower(c))
            put_cased(vm, &out, s, i, n, c, JJ_UPPER);
        else
            jj_put_part(vm, &out, s, i, i + n);
    }
    return jj_step(vm, (int64_t)(s->n >> 4)) ? jj_out_str(vm, &out) : jj_error();
}

static bool parts_words(uint32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || jj_is_space(c);
}

jj_value jj_title_words(jj_vm *vm, jj_str *s) {
    jj_out out = {0};
    for (size_t begin = 0; begin < s->n && !vm->rc;) {
        uint32_t c;
        size_t end = begin, first = jj_point(s->ptr + begin, s->n - begin, &c);
        bool between = parts_words(c);
        while (end < s->n) {
            uint32_t d;
            size_t n = jj_point(s->ptr + end, s->n - end, &d);
            if (parts_words(d) != between) break;
            end += n;
        }
        put_cased(vm, &out, s, begin, first, c, JJ_UPPER);
        jj_str *rest = jj_sub(vm, s, begin + first, end);
        if (!rest) return jj_error();
        jj_value lower = jj_cased(vm, rest, JJ_LOWER);
        JJ_TRY(lower);
        jj_put_str(vm, &out, lower.as.s);
        begin = end;
    }
    return jj_out_str(vm, &out);
}

/* ---- strip ---- */

static bool in_chars(uint32_t c, const jj_str *chars) {
    uint32_t d;
    if (!chars) return jj_is_space(c);
    for (size_t i = 0; i < chars->n;) {
        i += jj_point(chars->ptr + i, chars->n - i, &d);
        if (c == d) return true;
    }
    return false;
}

jj_value jj_strip(jj_vm *vm, jj_str *s, jj_str *chars, int sides) {
    size_t begin = 0, end = s->n;
    uint32_t c;
    while ((sides & JJ_LEFT) && begin < end) {
        size_t n = jj_point(s->ptr + begin, end - begin, &c);
        if (!in_chars(c, chars)) break;
        begin += n;
    }
    while ((sides & JJ_RIGHT) && end > begin) {
        size_t at = jj_last_point(s->ptr, end);
        jj_point(s->ptr + at, end - at, &c);
        if (!in_chars(c, chars)) break;
        end = at;
    }
    int64_t work = (int64_t)(s->n - (end - begin)) * (chars ? (int64_t)chars->n + 1 : 1);
    return jj_step(vm, work >> 4) ? jj_of_str(jj_sub(vm, s, begin, end)) : jj_error();
}

/* ---- replace ---- */

jj_value jj_replace(jj_vm *vm, jj_str *s, jj_str *from, jj_str *to, int64_t count) {
    jj_out out = {0};
    size_t at = 0;
    if (from->n) {
        while (count != 0 && !vm->rc) {
            int64_t hit = jj_str_find(vm, s, from, at);
            if (hit < 0) break;
            jj_put_part(vm, &out, s, at, (size_t)hit);
            jj_put_str(vm, &out, to);
            at = (size_t)hit + from->n;
            if (count > 0) count--;
            if (!jj_step(vm, 1)) return jj_error();
        }
        if (!at && !vm->rc) return jj_of_str(s);
    } else {
        while (count != 0 && !vm->rc) { /* before each character and at the end */
            uint32_t c;
            jj_put_str(vm, &out, to);
            if (count > 0) count--;
            if (at >= s->n || !jj_step(vm, 1)) break;
            size_t n = jj_point(s->ptr + at, s->n - at, &c);
            jj_put_part(vm, &out, s, at, at + n);
            at += n;
        }
    }
    jj_put_part(vm, &out, s, at, s->n);
    return jj_out_str(vm, &out);
}

/* ---- split ---- */

static bool push_part(jj_vm *vm, jj_items *items, jj_str *s, size_t begin, size_t end) {
    jj_str *part = jj_sub(vm, s, begin, end);
    return part && jj_push(vm, items, jj_of_str(part));
}

static size_t skip_while(const jj_str *s, size_t at, bool space) {
    uint32_t c;
    for (size_t n; at < s->n; at += n) {
        n = jj_point(s->ptr + at, s->n - at, &c);
        if (jj_is_space(c) != space) break;
    }
    return at;
}

static size_t back_while(const jj_str *s, size_t end, bool space) {
    uint32_t c;
    while (end > 0) {
        size_t at = jj_last_point(s->ptr, end);
        jj_point(s->ptr + at, end - at, &c);
        if (jj_is_space(c) != space) break;
        end = at;
    }
    return end;
}

static bool split_space(jj_vm *vm, jj_items *items, jj_str *s, int64_t max) {
    size_t at = skip_while(s, 0, true);
    for (int64_t n = 0; at < s->n && (max < 0 || n < max); n++) {
        size_t end = skip_while(s, at, false);
        if (!push_part(vm, items, s, at, end)) return false;
        at = skip_while(s, end, true);
    }
    if (at >= s->n) return true;
    return push_part(vm, items, s, at, s->n); /* as many as allowed: the rest as it is */
}

static bool split_space_right(jj_vm *vm, jj_items *items, jj_str *s, int64_t max) {
    size_t end = back_while(s, s->n, true);
    for (int64_t n = 0; end > 0 && (max < 0 || n < max); n++) {
        size_t begin = back_while(s, end, false);
        if (!push_part(vm, items, s, begin, end)) return false;
        end = back_while(s, begin, true);
    }
    return !end || push_part(vm, items, s, 0, end);
}

static bool split_by(jj_vm *vm, jj_items *items, jj_str *s, const jj_str *separator, int64_t max) {
    size_t at = 0;
    for (int64_t n = 0; max < 0 || n < max; n++) {
        int64_t hit = jj_str_find(vm, s, separator, at);
        if (hit < 0) break;
        if (!push_part(vm, items, s, at, (size_t)hit)) return false;
        at = (size_t)hit + separator->n;
    }
    return push_part(vm, items, s, at, s->n);
}

static bool split_by_right(
    jj_vm *vm, jj_items *items, jj_str *s, const jj_str *separator, int64_t max) {
    size_t end = s->n;
    for (int64_t n = 0; max < 0 || n < max; n++) {
        int64_t hit = jj_str_rfind(vm, s, separator, end);
        if (hit < 0) break;
        if (!push_part(vm, items, s, (size_t)hit + separator->n, end)) return false;
        end = (size_t)hit;
    }
    return push_part(vm, items, s, 0, end);
}

jj_value jj_split(jj_vm *vm, jj_str *s, jj_str *separator, int64_t max, bool from_right) {
    jj_items items = {0};
    bool ok;
    if (separator && !separator->n) return jj_fail(vm, "empty separator");
    if (!jj_step(vm, (int64_t)(s->n >> 6))) return jj_error();
    if (from_right) {
        ok = separator ? split_by_right(vm, &items, s, separator, max)
                       : split_space_right(vm, &items, s, max);
        for (size_t i = 0; i < items.n / 2; i++) {
            jj_value v = items.items[i];
            items.items[i] = items.items[items.n - 1 - i];
            items.items[items.n - 1 - i] = v;
        }
    } else {
        ok = separator ? split_by(vm, &items, s, separator, max) : split_space(vm, &items, s, max);
    }
    return ok && !vm->rc ? jj_items_list(vm, &items) : jj_error();
}

jj_value jj_lines(jj_vm *vm, jj_str *s, bool keep_ends) {
    jj_items items = {0};
    size_t begin = 0;
    if (!jj_step(vm, (int64_t)(s->n >> 6))) return jj_error();
    while (begin < s->n) {
        size_t end = begin, next = s->n;
        while (end < s->n) {
            uint32_t c;
            size_t n = jj_point(s->ptr + end, s->n - end, &c);
            if (jj_is_break(c)) {
                next = end + n;
                if (c == '\r' && next < s->n && s->ptr[next] == '\n') next++;
                break;
            }
            end += n;
        }
        if (!push_part(vm, &items, s, begin, keep_ends ? next : end)) return jj_error();
        begin = next;
    }
    return jj_items_list(vm, &items);
}

/* ---- join and pad ---- */

jj_value jj_join(jj_vm *vm, jj_str *separator, jj_value iterable, bool strs_only) {
    jj_iter *it = jj_iterate(vm, iterable);
    jj_out out = {0};
    jj_value item;
    int got;
    if (!it) return jj_error();
    for (int64_t n = 0; (got = jj_next(vm, it, &item)) > 0; n++) {
        if (strs_only && item.kind != JJ_STR) {
            return jj_fail(vm, "sequence item %" PRId64 ": expected str instance, %s found", n,
                item.kind == JJ_NONE ? "NoneType" : jj_type_name(item));
        }
        if (n) jj_put_str(vm, &out, separator);
        jj_put_value(vm, &out, item);
        if (!jj_step(vm, 1)) return jj_error();
    }
    return got < 0 ? jj_error() : jj_out_str(vm, &out);
}

static void put_fill(jj_vm *vm, jj_out *out, const jj_str *fill, int64_t n) {
    for (int64_t i = 0; i < n && !vm->rc; i++) {
        jj_put_str(vm, out, fill);
        if (!jj_step(vm, 1)) return;
    }
}

jj_value jj_pad(jj_vm *vm, jj_str *s, int64_t width, const jj_str *fill, int sides) {
    int64_t len = jj_str_count(s), total = width - len;
    if (total <= 0) return jj_of_str(s);
    /* CPython's str.center: the odd one goes left when the width is odd. */
    int64_t left = sides == (JJ_LEFT | JJ_RIGHT) ? total / 2 + (total & width & 1)
                   : sides == JJ_LEFT            ? total
                                                 : 0;
    jj_out out = {0};
    put_fill(vm, &out, fill, left);
    jj_put_str(vm, &out, s);
    put_fill(vm, &out, fill, total - left);
    return jj_out_str(vm, &out);
}
