/* str.c - text with the ranges that came from the inputs. */
#include <string.h>

#include "base/map.h"
#include "text/jinja/ops.h"
#include "text/jinja/vm.h"

/* ---- builders ---- */

static __attribute__((noinline)) bool grow(tri_jinja_vm *vm, tri_jinja_out *out, size_t n) {
    size_t need, cap = out->cap ? out->cap * 2 : out == vm->root ? 4096 : 128;
    if (__builtin_add_overflow(out->n, n, &need)) need = SIZE_MAX / 2;
    if (out == vm->root && need > vm->limits.max_output_bytes) {
        tri_jinja_limit(vm, "the output is more than %zu bytes (max_output_bytes)",
            vm->limits.max_output_bytes);
        return false;
    }
    if (out == vm->root && cap > vm->limits.max_output_bytes) cap = vm->limits.max_output_bytes;
    if (cap < need) cap = need;
    char *grown = tri_jinja_alloc(vm, cap);
    if (!grown) return false;
    if (out->n) memcpy(grown, out->ptr, out->n);
    out->ptr = grown;
    out->cap = cap;
    return tri_jinja_step(vm, (int64_t)(need >> 8));
}

static inline bool make_room(tri_jinja_vm *vm, tri_jinja_out *out, size_t n) {
    return n <= out->cap - out->n || grow(vm, out, n);
}

void tri_jinja_mark(tri_jinja_vm *vm, tri_jinja_out *out, size_t begin, size_t end) {
    if (begin == end) return;
    if (out->n_spans && out->spans[out->n_spans - 1].end == begin) {
        out->spans[out->n_spans - 1].end = end;
        return;
    }
    if (out->n_spans == out->cap_spans) {
        size_t cap = out->cap_spans ? out->cap_spans * 2 : 4;
        tri_text_span *grown = tri_jinja_array(vm, cap, sizeof *grown);
        if (!grown) return;
        if (out->n_spans) memcpy(grown, out->spans, out->n_spans * sizeof *grown);
        out->spans = grown;
        out->cap_spans = cap;
    }
    out->spans[out->n_spans++] = (tri_text_span){begin, end};
}

void tri_jinja_put(tri_jinja_vm *vm, tri_jinja_out *out, const char *bytes, size_t n, bool plain) {
    if (!n || vm->rc || !make_room(vm, out, n)) return;
    memcpy(out->ptr + out->n, bytes, n);
    if (plain) tri_jinja_mark(vm, out, out->n, out->n + n);
    out->n += n;
}

void tri_jinja_put_c(tri_jinja_vm *vm, tri_jinja_out *out, const char *text) {
    tri_jinja_put(vm, out, text, strlen(text), false);
}

void tri_jinja_put_part(
    tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s, size_t begin, size_t end) {
    if (begin >= end || vm->rc || !make_room(vm, out, end - begin)) return;
    memcpy(out->ptr + out->n, s->ptr + begin, end - begin);
    if (s->n_spans < 0) tri_jinja_mark(vm, out, out->n, out->n + (end - begin));
    for (int32_t i = 0; i < s->n_spans; i++) {
        tri_text_span span = s->spans[i];
        if (span.begin < begin) span.begin = begin;
        if (span.end > end) span.end = end;
        if (span.begin < span.end) {
            tri_jinja_mark(vm, out, out->n + span.begin - begin, out->n + span.end - begin);
        }
    }
    out->n += end - begin;
}

void tri_jinja_put_str(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s) {
    tri_jinja_put_part(vm, out, s, 0, s->n);
}

void tri_jinja_put_value(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v) {
    if (v.kind == TRI_JINJA_STR)
        tri_jinja_put_str(vm, out, v.as.s);
    else if (v.kind != TRI_JINJA_UNDEFINED)
        tri_jinja_repr(vm, out, v);
}

tri_jinja_value tri_jinja_out_str(tri_jinja_vm *vm, tri_jinja_out *out) {
    if (vm->rc) return tri_jinja_error();
    tri_jinja_str *s = tri_jinja_str_new(vm, out->ptr ? out->ptr : "", out->n, false);
    if (!s) return tri_jinja_error();
    s->spans = out->spans;
    s->n_spans = (int32_t)out->n_spans;
    if (out->n_spans == 1 && out->spans[0].begin == 0 && out->spans[0].end == out->n) {
        s->n_spans = -1;
    }
    if (out->cap - out->n >= 64) {
        s->room = TRI_JINJA_NEW(vm, tri_jinja_room);
        if (!s->room) return tri_jinja_error();
        *s->room = (tri_jinja_room){out->n, out->cap};
    }
    return tri_jinja_of_str(s);
}

/* ---- text ---- */

tri_jinja_str *tri_jinja_str_new(tri_jinja_vm *vm, const char *bytes, size_t n, bool plain) {
    tri_jinja_str *s = TRI_JINJA_NEW(vm, tri_jinja_str);
    if (!s) return NULL;
    s->ptr = bytes;
    s->n = n;
    s->n_spans = plain && n ? -1 : 0;
    return s;
}

tri_jinja_value tri_jinja_text(tri_jinja_vm *vm, const char *literal) {
    return tri_jinja_of_str(tri_jinja_str_new(vm, literal, strlen(literal), false));
}

tri_jinja_str *tri_jinja_str_copy(tri_jinja_vm *vm, const tri_jinja_str *s) {
    tri_jinja_str *copy = TRI_JINJA_NEW(vm, tri_jinja_str);
    if (copy) *copy = *s;
    return copy;
}

static bool clip_spans(
    tri_jinja_vm *vm, tri_jinja_str *to, const tri_jinja_str *s, size_t begin, size_t end) {
    int32_t first = 0, last = s->n_spans;
    while (first < last && s->spans[first].end <= begin)
        first++;
    while (last > first && s->spans[last - 1].begin >= end)
        last--;
    if (first == last) return true;
    if (last - first == 1 && s->spans[first].begin <= begin && s->spans[first].end >= end) {
        to->n_spans = -1;
        return true;
    }
    tri_text_span *spans = tri_jinja_array(vm, (size_t)(last - first), sizeof *spans);
    if (!spans) return false;
    for (int32_t i = first; i < last; i++) {
        tri_text_span span = s->spans[i];
        if (span.begin < begin) span.begin = begin;
        if (span.end > end) span.end = end;
        spans[i - first] = (tri_text_span){span.begin - begin, span.end - begin};
    }
    to->spans = spans;
    to->n_spans = last - first;
    return true;
}

tri_jinja_str *tri_jinja_sub(tri_jinja_vm *vm, tri_jinja_str *s, size_t begin, size_t end) {
    if (begin == 0 && end == s->n) return s;
    if (begin > end) begin = end;
    tri_jinja_str *sub = tri_jinja_str_new(vm, s->ptr + begin, end - begin, s->n_spans < 0);
    if (!sub) return NULL;
    if (s->ascii == 1) sub->ascii = 1;
    sub->markup = s->markup;
    if (s->n_spans > 0 && end > begin && !clip_spans(vm, sub, s, begin, end)) return NULL;
    return sub;
}

/* Appends to a's own bytes when nothing has been appended to them before and there is room. */
static bool append_in_place(tri_jinja_str *a, const tri_jinja_str *b, tri_jinja_out *out) {
    if (!a->room || a->room->used != a->n || a->room->cap - a->n < b->n) return false;
    char *bytes = (char *)(uintptr_t)a->ptr; /* made by a builder of this rendering */
    memcpy(bytes + a->n, b->ptr, b->n);
    a->room->used += b->n;
    out->ptr = bytes;
    return true;
}

tri_jinja_value tri_jinja_concat(tri_jinja_vm *vm, tri_jinja_str *a, tri_jinja_str *b) {
    if (!a->n && !a->markup) return tri_jinja_of_str(b);
    if (!b->n && !b->markup) return tri_jinja_of_str(a);
    tri_jinja_out out = {0};
    bool uniform = a->n_spans == b->n_spans && a->n_spans <= 0;
    if (uniform && append_in_place(a, b, &out)) {
        tri_jinja_str *s = tri_jinja_str_new(vm, out.ptr, a->n + b->n, a->n_spans < 0);
        if (!s) return tri_jinja_error();
        s->room = a->room;
        return tri_jinja_of_str(s);
    }
    if (append_in_place(a, b, &out)) {
        /* The spans are put together as a builder would, over bytes that are there already. */
        tri_jinja_out spans = {.ptr = out.ptr, .n = 0, .cap = SIZE_MAX / 4};
        const tri_jinja_str *parts[] = {a, b};
        for (int p = 0; p < 2; p++) {
            const tri_jinja_str *s = parts[p];
            if (s->n_spans < 0) tri_jinja_mark(vm, &spans, spans.n, spans.n + s->n);
            for (int32_t i = 0; i < s->n_spans; i++) {
                size_t end = s->spans[i].end < s->n ? s->spans[i].end : s->n;
                if (s->spans[i].begin >= end) continue;
                tri_jinja_mark(vm, &spans, spans.n + s->spans[i].begin, spans.n + end);
            }
            spans.n += s->n;
        }
        tri_jinja_str *s = tri_jinja_str_new(vm, out.ptr, spans.n, false);
        if (!s) return tri_jinja_error();
        s->spans = spans.spans;
        s->n_spans = (int32_t)spans.n_spans;
        s->room = a->room;
        return tri_jinja_step(vm, s->n_spans) ? tri_jinja_of_str(s) : tri_jinja_error();
    }
    size_t n = a->n + b->n;
    out.cap = n < 128 ? n : n + n / 2; /* long ones are likely to grow again */
    out.ptr = tri_jinja_alloc(vm, out.cap);
    if (!out.ptr || !tri_jinja_step(vm, (int64_t)(n >> 8))) return tri_jinja_error();
    tri_jinja_put_str(vm, &out, a);
    tri_jinja_put_str(vm, &out, b);
    return tri_jinja_out_str(vm, &out);
}

bool tri_jinja_str_any_plain(const tri_jinja_str *s) {
    if (s->n_spans <= 0) return s->n_spans < 0 && s->n;
    return s->spans[0].begin < s->n;
}

bool tri_jinja_str_plain_at(const tri_jinja_str *s, size_t byte) {
    if (s->n_spans <= 0) return s->n_spans < 0;
    int32_t low = 0, high = s->n_spans; /* the first span that ends past byte */
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (s->spans[mid].end <= byte)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->n_spans && s->spans[low].begin <= byte;
}

bool tri_jinja_str_ascii(tri_jinja_str *s) {
    if (!s->ascii) {
        size_t i = 0;
        uint64_t any = 0;
        for (; i + 8 <= s->n && !(any & 0x8080808080808080u); i += 8) {
            uint64_t word;
            memcpy(&word, s->ptr + i, 8);
            any |= word;
        }
        bool ascii = !(any & 0x8080808080808080u);
        for (; ascii && i < s->n; i++)
            ascii = !((uint8_t)s->ptr[i] & 0x80);
        s->ascii = ascii ? 1 : 2;
    }
    return s->ascii == 1;
}

int64_t tri_jinja_str_count(tri_jinja_str *s) {
    if (tri_jinja_str_ascii(s)) return (int64_t)s->n;
    int64_t count = 0;
    for (size_t i = 0; i < s->n; i++)
        count += ((uint8_t)s->ptr[i] & 0xC0) != 0x80;
    return count;
}

size_t tri_jinja_str_offset(tri_jinja_str *s, int64_t points) {
    if (points <= 0) return 0;
    if (tri_jinja_str_ascii(s)) return (uint64_t)points < s->n ? (size_t)points : s->n;
    for (size_t i = 0; i < s->n; i++) {
        if (((uint8_t)s->ptr[i] & 0xC0) != 0x80 && points-- == 0) return i;
    }
    return s->n;
}

uint32_t tri_jinja_str_hash(tri_jinja_str *s) {
    if (!s->hash) s->hash = (uint32_t)tri_hash64(s->ptr, s->n, 0) | 1;
    return s->hash;
}

bool tri_jinja_str_eq(const tri_jinja_str *a, const tri_jinja_str *b) {
    return a == b || (a->n == b->n && (!a->n || !memcmp(a->ptr, b->ptr, a->n)));
}

int tri_jinja_str_cmp(const tri_jinja_str *a, const tri_jinja_str *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    int order = n ? memcmp(a->ptr, b->ptr, n) : 0;
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

int64_t tri_jinja_str_find(
    tri_jinja_vm *vm, const tri_jinja_str *s, const tri_jinja_str *what, size_t from) {
    if (from > s->n) return -1;
    const char *at =
        what->n ? memmem(s->ptr + from, s->n - from, what->ptr, what->n) : s->ptr + from;
    size_t looked_at = (at ? (size_t)(at - s->ptr) : s->n) - from;
    if (!tri_jinja_step(vm, (int64_t)((looked_at + what->n) >> 8))) return -1;
    return at ? at - s->ptr : -1;
}

int64_t tri_jinja_str_rfind(
    tri_jinja_vm *vm, const tri_jinja_str *s, const tri_jinja_str *what, size_t end) {
    if (what->n > end) return -1;
    if (!what->n) return (int64_t)end;
    for (size_t i = end - what->n + 1; i-- > 0;) {
        const char *at = memrchr(s->ptr, what->ptr[0], i + 1);
        if (!at) break;
        if (!tri_jinja_step(vm, (int64_t)((i - (size_t)(at - s->ptr) + what->n) >> 8))) return -1;
        i = (size_t)(at - s->ptr);
        if (!memcmp(at, what->ptr, what->n)) return (int64_t)i;
    }
    return -1;
}
