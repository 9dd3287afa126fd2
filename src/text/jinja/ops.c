#include "text/jinja/ops.h"

#include <math.h>
#include <string.h>

#include "text/jinja/iter.h"

const char *tri_jinja_type_name(tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_ERROR:
    case TRI_JINJA_MISSING:
        return "missing";
    case TRI_JINJA_UNDEFINED:
        return "Undefined";
    case TRI_JINJA_NONE:
        return "None";
    case TRI_JINJA_BOOL:
        return "bool";
    case TRI_JINJA_INT:
    case TRI_JINJA_BIG:
        return "int";
    case TRI_JINJA_FLOAT:
        return "float";
    case TRI_JINJA_STR:
        return v.as.s->markup ? "Markup" : "str";
    case TRI_JINJA_LIST:
        return "list";
    case TRI_JINJA_TUPLE:
        return "tuple";
    case TRI_JINJA_DICT:
        return "dict";
    case TRI_JINJA_VIEW:
        return v.id == TRI_JINJA_KEYS     ? "dict_keys"
               : v.id == TRI_JINJA_VALUES ? "dict_values"
                                          : "dict_items";
    case TRI_JINJA_RANGE:
        return "range";
    case TRI_JINJA_ITER:
        return "generator";
    case TRI_JINJA_NAMESPACE:
        return "Namespace";
    case TRI_JINJA_MACRO:
        return "Macro";
    case TRI_JINJA_LOOP:
        return "LoopContext";
    case TRI_JINJA_FUNCTION:
        return "function";
    case TRI_JINJA_METHOD:
        return "builtin_function_or_method";
    case TRI_JINJA_CYCLER:
        return "Cycler";
    case TRI_JINJA_JOINER:
        return "Joiner";
    }
    return "object";
}

bool tri_jinja_as_int(tri_jinja_value v, int64_t *i) {
    if (v.kind == TRI_JINJA_INT)
        *i = v.as.i;
    else if (v.kind == TRI_JINJA_BOOL)
        *i = v.as.b;
    else
        return false;
    return true;
}

bool tri_jinja_as_float(tri_jinja_value v, double *f) {
    int64_t i;
    if (v.kind == TRI_JINJA_FLOAT) {
        *f = v.as.f;
        return true;
    }
    if (v.kind == TRI_JINJA_BIG) return tri_str_to_f64(tri_jinja_view_of(v.as.s), f);
    if (!tri_jinja_as_int(v, &i)) return false;
    *f = (double)i;
    return true;
}

bool tri_jinja_has_length(tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_UNDEFINED:
    case TRI_JINJA_STR:
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
    case TRI_JINJA_DICT:
    case TRI_JINJA_VIEW:
    case TRI_JINJA_RANGE:
    case TRI_JINJA_LOOP:
        return true;
    default:
        return false;
    }
}

int64_t tri_jinja_length(tri_jinja_vm *vm, tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_UNDEFINED:
        return 0;
    case TRI_JINJA_STR:
        return tri_jinja_step(vm, (int64_t)(v.as.s->n >> 8)) ? tri_jinja_str_count(v.as.s) : -1;
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
        return (int64_t)v.as.list->n;
    case TRI_JINJA_DICT:
    case TRI_JINJA_VIEW:
        return (int64_t)v.as.dict->n;
    case TRI_JINJA_RANGE:
        return v.as.range->n;
    case TRI_JINJA_LOOP:
        return tri_jinja_loop_length(vm, v.as.loop);
    default:
        tri_jinja_fail(vm, "object of type '%s' has no len()", tri_jinja_type_name(v));
        return -1;
    }
}

bool tri_jinja_truth(tri_jinja_vm *vm, tri_jinja_value v) {
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_BOOL:
        return v.as.b;
    case TRI_JINJA_STR:
        return v.as.s->n > 0;
    case TRI_JINJA_NONE:
    case TRI_JINJA_UNDEFINED:
        return false;
    case TRI_JINJA_INT:
        return v.as.i != 0;
    case TRI_JINJA_FLOAT:
        return v.as.f != 0;
    case TRI_JINJA_LOOP:
        return tri_jinja_loop_length(vm, v.as.loop) > 0;
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
    case TRI_JINJA_DICT:
    case TRI_JINJA_VIEW:
    case TRI_JINJA_RANGE:
        return tri_jinja_length(vm, v) > 0;
    default:
        return true;
    }
}

/* ---- comparison ---- */

static bool is_number(tri_jinja_value v) {
    return v.kind == TRI_JINJA_INT || v.kind == TRI_JINJA_BOOL || v.kind == TRI_JINJA_FLOAT ||
           v.kind == TRI_JINJA_BIG;
}

static int order_of(double a, double b) { /* 2: not comparable */
    return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
}

static int compare_numbers(tri_jinja_value a, tri_jinja_value b) {
    int64_t i, j;
    double f = 0, g = 0;
    if (tri_jinja_as_int(a, &i) && tri_jinja_as_int(b, &j)) return (i > j) - (i < j);
    if (a.kind == TRI_JINJA_BIG && b.kind == TRI_JINJA_BIG) {
        if (tri_jinja_str_eq(a.as.s, b.as.s)) return 0;
        bool minus = a.as.s->ptr[0] == '-';
        if (minus != (b.as.s->ptr[0] == '-')) return minus ? -1 : 1;
        int order = a.as.s->n != b.as.s->n ? (a.as.s->n > b.as.s->n ? 1 : -1)
                                           : tri_jinja_str_cmp(a.as.s, b.as.s);
        return minus ? -order : order;
    }
    tri_jinja_as_float(a, &f);
    tri_jinja_as_float(b, &g);
    /* An integer that a double cannot hold is compared as an integer. */
    if (tri_jinja_as_int(a, &i) && b.kind == TRI_JINJA_FLOAT && g >= -9.2e18 && g <= 9.2e18 &&
        f == g) {
        return (i > (int64_t)g) - (i < (int64_t)g);
    }
    if (tri_jinja_as_int(b, &j) && a.kind == TRI_JINJA_FLOAT && f >= -9.2e18 && f <= 9.2e18 &&
        f == g) {
        return ((int64_t)f > j) - ((int64_t)f < j);
    }
    return order_of(f, g);
}

static bool equal_lists(tri_jinja_vm *vm, const tri_jinja_list *a, const tri_jinja_list *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!tri_jinja_equal(vm, a->items[i], b->items[i])) return false;
    }
    return true;
}

static bool equal_dicts(tri_jinja_vm *vm, const tri_jinja_dict *a, const tri_jinja_dict *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const tri_jinja_entry *other =
            tri_jinja_dict_find(vm, b, a->entries[i].key, a->entries[i].hash);
        if (!other || !tri_jinja_equal(vm, a->entries[i].value, other->value)) return false;
    }
    return true;
}

bool tri_jinja_equal(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b) {
    if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    switch ((tri_jinja_kind)a.kind) {
    case TRI_JINJA_NONE:
    case TRI_JINJA_UNDEFINED:
        return true;
    case TRI_JINJA_STR:
        return tri_jinja_str_eq(a.as.s, b.as.s);
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
    case TRI_JINJA_DICT: {
        if (a.as.p == b.as.p) return true;
        if (!tri_jinja_step(vm, 1) || !tri_jinja_enter(vm)) return false;
        bool equal = a.kind == TRI_JINJA_DICT ? equal_dicts(vm, a.as.dict, b.as.dict)
                                              : equal_lists(vm, a.as.list, b.as.list);
        tri_jinja_leave(vm);
        return equal && !vm->rc;
    }
    case TRI_JINJA_VIEW:
        return a.id == b.id && a.as.p == b.as.p;
    case TRI_JINJA_RANGE: {
        const tri_jinja_range *r = a.as.range, *s = b.as.range;
        return r->n == s->n &&
               (!r->n || (r->start == s->start && (r->n == 1 || r->step == s->step)));
    }
    case TRI_JINJA_FUNCTION:
        return a.id == b.id;
    case TRI_JINJA_METHOD:
        return a.as.method->def == b.as.method->def &&
               tri_jinja_equal(vm, a.as.method->self, b.as.method->self);
    default:
        return a.as.p == b.as.p;
    }
}

static int cannot_compare(tri_jinja_vm *vm, const char *op, tri_jinja_value a, tri_jinja_value b) {
    if (a.kind == TRI_JINJA_UNDEFINED)
        tri_jinja_fail_undefined(vm, a);
    else if (b.kind == TRI_JINJA_UNDEFINED)
        tri_jinja_fail_undefined(vm, b);
    else {
        tri_jinja_fail(vm, "'%s' not supported between instances of '%s' and '%s'", op,
            tri_jinja_type_name(a), tri_jinja_type_name(b));
    }
    return -1;
}

static int compare_op(tri_jinja_vm *vm, tri_jinja_op op, tri_jinja_value a, tri_jinja_value b);

static int compare_lists(
    tri_jinja_vm *vm, tri_jinja_op op, const tri_jinja_list *a, const tri_jinja_list *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        if (tri_jinja_equal(vm, a->items[i], b->items[i])) continue;
        if (vm->rc || !tri_jinja_enter(vm)) return -1;
        int result = compare_op(vm, op, a->items[i], b->items[i]);
        tri_jinja_leave(vm);
        return result;
    }
    switch (op) {
    case TRI_JINJA_LT:
        return a->n < b->n;
    case TRI_JINJA_LE:
        return a->n <= b->n;
    case TRI_JINJA_GT:
        return a->n > b->n;
    default:
        return a->n >= b->n;
    }
}

static int compare_op(tri_jinja_vm *vm, tri_jinja_op op, tri_jinja_value a, tri_jinja_value b) {
    static const char *const names[] = {
        [TRI_JINJA_LT] = "<", [TRI_JINJA_LE] = "<=", [TRI_JINJA_GT] = ">", [TRI_JINJA_GE] = ">="};
    int order;
    if (!tri_jinja_step(vm, 1)) return -1;
    if (is_number(a) && is_number(b)) {
        order = compare_numbers(a, b);
        if (order == 2) return 0; /* NaN */
    } else if (a.kind == TRI_JINJA_STR && b.kind == TRI_JINJA_STR) {
        order = tri_jinja_str_cmp(a.as.s, b.as.s);
    } else if (a.kind == b.kind && (a.kind == TRI_JINJA_LIST || a.kind == TRI_JINJA_TUPLE)) {
        return compare_lists(vm, op, a.as.list, b.as.list);
    } else {
        return cannot_compare(vm, names[op], a, b);
    }
    return op == TRI_JINJA_LT   ? order < 0
           : op == TRI_JINJA_LE ? order <= 0
           : op == TRI_JINJA_GT ? order > 0
                                : order >= 0;
}

int tri_jinja_less(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b) {
    return compare_op(vm, TRI_JINJA_LT, a, b);
}

static tri_jinja_value contains_iterated(
    tri_jinja_vm *vm, tri_jinja_value container, tri_jinja_value item) {
    tri_jinja_iter *it = tri_jinja_iterate(vm, container);
    tri_jinja_value v;
    int got;
    if (!it) return tri_jinja_error();
    while ((got = tri_jinja_next(vm, it, &v)) > 0) {
        if (tri_jinja_equal(vm, v, item)) return tri_jinja_bool(true);
    }
    return got < 0 || vm->rc ? tri_jinja_error() : tri_jinja_bool(false);
}

tri_jinja_value tri_jinja_contains(
    tri_jinja_vm *vm, tri_jinja_value container, tri_jinja_value item) {
    uint32_t hash;
    switch ((tri_jinja_kind)container.kind) {
    case TRI_JINJA_STR:
        if (item.kind != TRI_JINJA_STR) {
            return tri_jinja_fail(vm, "'in <string>' requires string as left operand, not %s",
                tri_jinja_type_name(item));
        }
        return tri_jinja_bool(tri_jinja_str_find(vm, container.as.s, item.as.s, 0) >= 0);
    case TRI_JINJA_DICT:
    case TRI_JINJA_VIEW:
        if (container.kind == TRI_JINJA_VIEW && container.id != TRI_JINJA_KEYS) break;
        if (!tri_jinja_hash(vm, item, &hash)) {
            return tri_jinja_fail(vm, "unhashable type: '%s'", tri_jinja_type_name(item));
        }
        return tri_jinja_bool(tri_jinja_dict_find(vm, container.as.dict, item, hash) != NULL);
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
        for (size_t i = 0; i < container.as.list->n; i++) {
            if (tri_jinja_equal(vm, container.as.list->items[i], item)) return tri_jinja_bool(true);
        }
        if (!tri_jinja_step(vm, (int64_t)container.as.list->n)) return tri_jinja_error();
        return vm->rc ? tri_jinja_error() : tri_jinja_bool(false);
    case TRI_JINJA_UNDEFINED:
    case TRI_JINJA_RANGE:
    case TRI_JINJA_ITER:
    case TRI_JINJA_LOOP:
        break;
    default:
        return tri_jinja_fail(
            vm, "argument of type '%s' is not iterable", tri_jinja_type_name(container));
    }
    return contains_iterated(vm, container, item);
}

tri_jinja_value tri_jinja_compare(
    tri_jinja_vm *vm, tri_jinja_op op, tri_jinja_value a, tri_jinja_value b) {
    tri_jinja_value v;
    switch (op) {
    case TRI_JINJA_EQ:
    case TRI_JINJA_NE: {
        bool equal = tri_jinja_equal(vm, a, b);
        return vm->rc ? tri_jinja_error() : tri_jinja_bool(equal == (op == TRI_JINJA_EQ));
    }
    case TRI_JINJA_IN:
        return tri_jinja_contains(vm, b, a);
    case TRI_JINJA_NOT_IN:
        v = tri_jinja_contains(vm, b, a);
        TRI_JINJA_TRY(v);
        return tri_jinja_bool(!v.as.b);
    default: {
        int result = compare_op(vm, op, a, b);
        return result < 0 ? tri_jinja_error() : tri_jinja_bool(result);
    }
    }
}

/* ---- arithmetic ---- */

static const char *const op_names[] = {[TRI_JINJA_ADD] = "+",
    [TRI_JINJA_SUB] = "-",
    [TRI_JINJA_MUL] = "*",
    [TRI_JINJA_DIV] = "/",
    [TRI_JINJA_FLOORDIV] = "//",
    [TRI_JINJA_MOD] = "%",
    [TRI_JINJA_POW] = "** or pow()"};

static tri_jinja_value number(tri_jinja_value v, tri_jinja_value a, tri_jinja_value b) {
    v.plain = a.plain || b.plain;
    return v;
}

static tri_jinja_value too_big(tri_jinja_vm *vm) {
    return tri_jinja_limit(vm, "an integer beyond 64 bits, which are not computed with");
}

static tri_jinja_value power_i64(tri_jinja_vm *vm, int64_t base, int64_t exponent) {
    int64_t result = 1;
    if (exponent < 0) {
        if (!base) return tri_jinja_fail(vm, "0.0 cannot be raised to a negative power");
        return tri_jinja_float(pow((double)base, (double)exponent));
    }
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return too_big(vm);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return too_big(vm);
    }
    return tri_jinja_int(result);
}

static tri_jinja_value compute_i64(tri_jinja_vm *vm, tri_jinja_op op, int64_t a, int64_t b) {
    int64_t result;
    switch (op) {
    case TRI_JINJA_ADD:
        return __builtin_add_overflow(a, b, &result) ? too_big(vm) : tri_jinja_int(result);
    case TRI_JINJA_SUB:
        return __builtin_sub_overflow(a, b, &result) ? too_big(vm) : tri_jinja_int(result);
    case TRI_JINJA_MUL:
        return __builtin_mul_overflow(a, b, &result) ? too_big(vm) : tri_jinja_int(result);
    case TRI_JINJA_POW:
        return power_i64(vm, a, b);
    default:
        break;
    }
    if (!b) {
        return tri_jinja_fail(
            vm, op == TRI_JINJA_DIV ? "division by zero" : "integer division or modulo by zero");
    }
    if (op == TRI_JINJA_DIV) return tri_jinja_float((double)a / (double)b);
    if (a == INT64_MIN && b == -1) return op == TRI_JINJA_MOD ? tri_jinja_int(0) : too_big(vm);
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return tri_jinja_int(op == TRI_JINJA_MOD ? rest : quotient);
}

static tri_jinja_value compute_f64(tri_jinja_vm *vm, tri_jinja_op op, double a, double b) {
    switch (op) {
    case TRI_JINJA_ADD:
        return tri_jinja_float(a + b);
    case TRI_JINJA_SUB:
        return tri_jinja_float(a - b);
    case TRI_JINJA_MUL:
        return tri_jinja_float(a * b);
    case TRI_JINJA_POW:
        if (a == 0 && b < 0) return tri_jinja_fail(vm, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b)) {
            return tri_jinja_lacking(vm, "a complex number, which is not supported");
        }
        {
            double result = pow(a, b);
            if (isinf(result) && isfinite(a) && isfinite(b)) {
                return tri_jinja_fail(vm, "(34, 'Numerical result out of range')");
            }
            return tri_jinja_float(result);
        }
    default:
        break;
    }
    if (b == 0) {
        return tri_jinja_fail(vm, op == TRI_JINJA_DIV        ? "float division by zero"
                                  : op == TRI_JINJA_FLOORDIV ? "float floor division by zero"
                                                             : "float modulo");
    }
    if (op == TRI_JINJA_DIV) return tri_jinja_float(a / b);
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0) {
        if ((rest < 0) != (b < 0)) {
            rest += b;
            quotient -= 1;
        }
    } else {
        rest = copysign(0, b);
    }
    if (op == TRI_JINJA_MOD) return tri_jinja_float(rest);
    if (quotient == 0) return tri_jinja_float(copysign(0, a / b));
    double whole = floor(quotient);
    return tri_jinja_float(quotient - whole > 0.5 ? whole + 1 : whole);
}

static tri_jinja_value add_lists(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b) {
    size_t n = a.as.list->n, m = b.as.list->n;
    tri_jinja_list *sum = tri_jinja_list_new(vm, n + m);
    if (!sum || !tri_jinja_step(vm, (int64_t)(n + m))) return tri_jinja_error();
    if (n) memcpy(sum->items, a.as.list->items, n * sizeof *sum->items);
    if (m) memcpy(sum->items + n, b.as.list->items, m * sizeof *sum->items);
    sum->plain = a.as.list->plain && b.as.list->plain;
    return a.kind == TRI_JINJA_TUPLE ? tri_jinja_of_tuple(sum) : tri_jinja_of_list(sum);
}

static tri_jinja_value add_strs(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b) {
    bool markup = a.as.s->markup || b.as.s->markup;
    if (!markup) return tri_jinja_concat(vm, a.as.s, b.as.s);
    if (!a.as.s->markup) a = tri_jinja_escape(vm, a);
    if (!b.as.s->markup) b = tri_jinja_escape(vm, b);
    TRI_JINJA_TRY(a);
    TRI_JINJA_TRY(b);
    tri_jinja_out out = {0};
    tri_jinja_put_str(vm, &out, a.as.s);
    tri_jinja_put_str(vm, &out, b.as.s);
    tri_jinja_value sum = tri_jinja_out_str(vm, &out);
    if (!tri_jinja_is_error(sum)) sum.as.s->markup = true;
    return sum;
}

tri_jinja_value tri_jinja_repeat(tri_jinja_vm *vm, tri_jinja_value v, int64_t times) {
    if (times < 0) times = 0;
    if (v.kind == TRI_JINJA_STR) {
        size_t total;
        if (__builtin_mul_overflow(v.as.s->n, (size_t)times, &total) ||
            total > vm->limits.max_memory_bytes) {
            return tri_jinja_limit(vm,
                "a text of %zu bytes repeated %" PRId64
                " times is more than %zu bytes (max_memory_bytes)",
                v.as.s->n, times, vm->limits.max_memory_bytes);
        }
        tri_jinja_out out = {0};
        bool markup = v.as.s->markup;
        for (int64_t i = 0; i < times && v.as.s->n && !vm->rc; i++) {
            tri_jinja_put_str(vm, &out, v.as.s);
            if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
        }
        tri_jinja_value result = tri_jinja_out_str(vm, &out);
        if (!tri_jinja_is_error(result)) result.as.s->markup = markup;
        return result;
    }
    const tri_jinja_list *list = v.as.list;
    size_t total;
    if (__builtin_mul_overflow(list->n, (size_t)times, &total) ||
        total > vm->limits.max_memory_bytes / sizeof(tri_jinja_value)) {
        return tri_jinja_limit(vm,
            "a list of %zu items repeated %" PRId64
            " times is more than %zu bytes (max_memory_bytes)",
            list->n, times, vm->limits.max_memory_bytes);
    }
    tri_jinja_list *result = tri_jinja_list_new(vm, total);
    if (!result || !tri_jinja_step(vm, (int64_t)total)) return tri_jinja_error();
    for (size_t i = 0; i < total; i++)
        result->items[i] = list->items[i % list->n];
    result->plain = list->plain;
    return v.kind == TRI_JINJA_TUPLE ? tri_jinja_of_tuple(result) : tri_jinja_of_list(result);
}

static bool is_sequence(tri_jinja_value v) {
    return v.kind == TRI_JINJA_STR || v.kind == TRI_JINJA_LIST || v.kind == TRI_JINJA_TUPLE;
}

tri_jinja_value tri_jinja_binary(
    tri_jinja_vm *vm, tri_jinja_op op, tri_jinja_value a, tri_jinja_value b) {
    int64_t i, j;
    double f, g;
    if (op == TRI_JINJA_ADD && a.kind == TRI_JINJA_STR && b.kind == TRI_JINJA_STR)
        return add_strs(vm, a, b);
    if (a.kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, a);
    if (op == TRI_JINJA_MOD && a.kind == TRI_JINJA_STR) return tri_jinja_percent(vm, a.as.s, b);
    if (b.kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, b);
    if (tri_jinja_as_int(a, &i) && tri_jinja_as_int(b, &j))
        return number(compute_i64(vm, op, i, j), a, b);
    if (is_number(a) && is_number(b)) {
        if (a.kind != TRI_JINJA_FLOAT && b.kind != TRI_JINJA_FLOAT) return too_big(vm);
        if (tri_jinja_as_float(a, &f) && tri_jinja_as_float(b, &g)) {
            return number(compute_f64(vm, op, f, g), a, b);
        }
    }
    if (op == TRI_JINJA_ADD && a.kind == b.kind &&
        (a.kind == TRI_JINJA_LIST || a.kind == TRI_JINJA_TUPLE)) {
        return add_lists(vm, a, b);
    }
    if (op == TRI_JINJA_MUL && is_sequence(a) && tri_jinja_as_int(b, &j))
        return tri_jinja_repeat(vm, a, j);
    if (op == TRI_JINJA_MUL && is_sequence(b) && tri_jinja_as_int(a, &i))
        return tri_jinja_repeat(vm, b, i);
    if (op == TRI_JINJA_ADD && a.kind == TRI_JINJA_STR) {
        return tri_jinja_fail(
            vm, "can only concatenate str (not \"%s\") to str", tri_jinja_type_name(b));
    }
    return tri_jinja_fail(vm, "unsupported operand type(s) for %s: '%s' and '%s'", op_names[op],
        tri_jinja_type_name(a), tri_jinja_type_name(b));
}

tri_jinja_value tri_jinja_negate(tri_jinja_vm *vm, tri_jinja_value v) {
    int64_t i;
    if (v.kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v);
    if (v.kind == TRI_JINJA_FLOAT) return number(tri_jinja_float(-v.as.f), v, v);
    if (v.kind == TRI_JINJA_BIG) return too_big(vm);
    if (!tri_jinja_as_int(v, &i)) {
        return tri_jinja_fail(vm, "bad operand type for unary -: '%s'", tri_jinja_type_name(v));
    }
    if (i == INT64_MIN) return too_big(vm);
    return number(tri_jinja_int(-i), v, v);
}

tri_jinja_value tri_jinja_positive(tri_jinja_vm *vm, tri_jinja_value v) {
    int64_t i;
    if (v.kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v);
    if (v.kind == TRI_JINJA_FLOAT || v.kind == TRI_JINJA_BIG) return v;
    if (!tri_jinja_as_int(v, &i)) {
        return tri_jinja_fail(vm, "bad operand type for unary +: '%s'", tri_jinja_type_name(v));
    }
    return number(tri_jinja_int(i), v, v);
}
