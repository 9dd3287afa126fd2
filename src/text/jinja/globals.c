/* globals.c - functions every template has. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "text/jinja/attr.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"

enum { MAX_RANGE = 100000 }; /* jinja2.sandbox.MAX_RANGE */

#define FUNCTION(name)                                                                             \
    static tri_jinja_value name(tri_jinja_vm *vm, tri_jinja_value *v, const tri_jinja_args *args)
#define UNUSED ((void)vm, (void)v, (void)args)

static bool range_arg(tri_jinja_vm *vm, tri_jinja_value v, int64_t *i) {
    if (v.kind == TRI_JINJA_BIG) {
        tri_jinja_fail(
            vm, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MAX_RANGE);
        return false;
    }
    return tri_jinja_int_arg(vm, v, 0, i);
}

FUNCTION(f_range) {
    UNUSED;
    tri_jinja_range *r = TRI_JINJA_NEW(vm, tri_jinja_range);
    int64_t start = 0, stop, step = 1;
    if (!r) return tri_jinja_error();
    if (!range_arg(vm, v[0], &stop)) return tri_jinja_error();
    if (tri_jinja_given(v[1])) {
        start = stop;
        if (!range_arg(vm, v[1], &stop)) return tri_jinja_error();
    }
    if (tri_jinja_given(v[2]) && !range_arg(vm, v[2], &step)) return tri_jinja_error();
    if (!step) return tri_jinja_fail(vm, "range() arg 3 must not be zero");
    uint64_t distance = step > 0 ? (stop > start ? (uint64_t)stop - (uint64_t)start : 0)
                                 : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t n = distance ? (distance - 1) / by + 1 : 0;
    if (n > MAX_RANGE) {
        return tri_jinja_fail(
            vm, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MAX_RANGE);
    }
    *r = (tri_jinja_range){start, stop, step, (int64_t)n};
    return (tri_jinja_value){.kind = TRI_JINJA_RANGE, .as.range = r};
}

/* dict(mapping or pairs, **named) */
static tri_jinja_dict *make_dict(tri_jinja_vm *vm, const tri_jinja_args *args) {
    tri_jinja_dict *d = tri_jinja_dict_new(vm, 0);
    if (!d) return NULL;
    if (args->n > 1) {
        tri_jinja_fail(vm, "dict expected at most 1 argument, got %" PRId32, args->n);
        return NULL;
    }
    if (args->n && args->v[0].kind == TRI_JINJA_DICT) {
        const tri_jinja_dict *from = args->v[0].as.dict;
        for (size_t i = 0; i < from->n; i++) {
            if (!tri_jinja_dict_put(vm, d, from->entries[i].key, from->entries[i].value))
                return NULL;
        }
        d->plain = from->plain && !args->n_named;
    } else if (args->n) {
        tri_jinja_value pairs = tri_jinja_collect(vm, args->v[0]);
        for (size_t i = 0; !vm->rc && i < pairs.as.list->n; i++) {
            tri_jinja_value pair = tri_jinja_collect(vm, pairs.as.list->items[i]);
            if (vm->rc) return NULL;
            if (pair.as.list->n != 2) {
                tri_jinja_fail(vm,
                    "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                    pair.as.list->n);
                return NULL;
            }
            tri_jinja_dict_put(vm, d, pair.as.list->items[0], pair.as.list->items[1]);
        }
    }
    for (int32_t i = 0; i < args->n_named && !vm->rc; i++) {
        tri_jinja_dict_put(vm, d, tri_jinja_of_str(args->names[i]), args->named[i]);
    }
    return vm->rc ? NULL : d;
}

FUNCTION(f_dict) {
    UNUSED;
    return tri_jinja_of_dict(make_dict(vm, args));
}

FUNCTION(f_namespace) {
    UNUSED;
    tri_jinja_namespace *ns = TRI_JINJA_NEW(vm, tri_jinja_namespace);
    if (!ns) return tri_jinja_error();
    ns->attrs = make_dict(vm, args);
    if (!ns->attrs) return tri_jinja_error();
    for (size_t i = 0; i < ns->attrs->n; i++) {
        tri_jinja_value key = ns->attrs->entries[i].key;
        if (key.kind == TRI_JINJA_STR && key.as.s->n && key.as.s->ptr[0] == '_') {
            return tri_jinja_fail(
                vm, "Chat templates cannot store underscore-prefixed attributes on a namespace.");
        }
    }
    return (tri_jinja_value){.kind = TRI_JINJA_NAMESPACE, .as.ns = ns};
}

FUNCTION(f_cycler) {
    UNUSED;
    tri_jinja_cycler *c = TRI_JINJA_NEW(vm, tri_jinja_cycler);
    if (args->n_named) return tri_jinja_fail(vm, "cycler() takes no keyword arguments");
    if (!args->n) return tri_jinja_fail(vm, "at least one item has to be provided");
    if (!c) return tri_jinja_error();
    c->items = tri_jinja_list_new(vm, (size_t)args->n);
    if (!c->items) return tri_jinja_error();
    for (int32_t i = 0; i < args->n; i++)
        c->items->items[i] = args->v[i];
    return (tri_jinja_value){.kind = TRI_JINJA_CYCLER, .as.cycler = c};
}

FUNCTION(f_joiner) {
    UNUSED;
    tri_jinja_joiner *j = TRI_JINJA_NEW(vm, tri_jinja_joiner);
    if (!j) return tri_jinja_error();
    j->separator = tri_jinja_given(v[0]) ? v[0] : tri_jinja_text(vm, ", ");
    return (tri_jinja_value){.kind = TRI_JINJA_JOINER, .as.joiner = j};
}

FUNCTION(f_lipsum) {
    UNUSED;
    return tri_jinja_lacking(vm, "lipsum() is not supported");
}

FUNCTION(f_raise_exception) {
    UNUSED;
    tri_jinja_value text =
        v[0].kind == TRI_JINJA_NONE ? tri_jinja_text(vm, "None") : tri_jinja_str_of(vm, v[0]);
    TRI_JINJA_TRY(text);
    return tri_jinja_fail(
        vm, "%.*s", (int)(text.as.s->n < 300 ? text.as.s->n : 300), text.as.s->ptr);
}

/* Python leaves %f, %z and %Z to itself; the rest is the C library's. */
FUNCTION(f_strftime_now) {
    UNUSED;
    tri_jinja_str *format = tri_jinja_str_arg(vm, v[0], "strftime() argument 1");
    char text[512], piece[8];
    struct tm now;
    time_t seconds = (time_t)vm->now_s;
    tri_jinja_out out = {0};
    if (!format) return tri_jinja_error();
    if (!seconds) seconds = time(NULL);
    if (!localtime_r(&seconds, &now)) return tri_jinja_fail(vm, "the time is out of range");
    for (size_t i = 0; i < format->n && !vm->rc;) {
        bool plain = tri_jinja_str_plain_at(format, i);
        if (format->ptr[i] != '%' || i + 1 == format->n) {
            tri_jinja_put_part(vm, &out, format, i, i + 1);
            i++;
            continue;
        }
        size_t n = 2;
        if (strchr("-_0^#EO", format->ptr[i + 1]) && i + 2 < format->n) n = 3;
        char c = format->ptr[i + n - 1];
        memcpy(piece, format->ptr + i, n);
        piece[n] = 0;
        i += n;
        if (n == 2 && (c == 'z' || c == 'Z')) continue;
        if (n == 2 && c == 'f') {
            tri_jinja_put(vm, &out, "000000", 6, plain);
            continue;
        }
        size_t len = strftime(text, sizeof text, piece, &now);
        tri_jinja_put(vm, &out, text, len, plain);
    }
    return tri_jinja_out_str(vm, &out);
}

const tri_jinja_builtin tri_jinja_globals[] = {
    {"range", f_range, 1, 3, "/"},
    {"dict", f_dict, 0, -1, ""},
    {"lipsum", f_lipsum, 0, -1, ""},
    {"cycler", f_cycler, 0, -1, ""},
    {"joiner", f_joiner, 0, 1, "sep"},
    {"namespace", f_namespace, 0, -1, ""},
    {"raise_exception", f_raise_exception, 1, 1, "message"},
    {"strftime_now", f_strftime_now, 1, 1, "format"},
};

int32_t tri_jinja_global_find(tri_str name) {
    for (size_t i = 0; i < sizeof tri_jinja_globals / sizeof *tri_jinja_globals; i++) {
        if (tri_str_is(name, tri_jinja_globals[i].name)) return (int32_t)i;
    }
    return -1;
}

tri_jinja_value tri_jinja_global(int32_t index) {
    return (tri_jinja_value){.kind = TRI_JINJA_FUNCTION, .id = (uint16_t)index};
}
