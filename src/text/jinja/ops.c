#include "text/jinja/ops.h"

#include <math.h>
#include <string.h>

#include "text/jinja/iter.h"

const char *jj_type_name(jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_ERROR:
    case JJ_MISSING:
        return "missing";
    case JJ_UNDEFINED:
        return "Undefined";
    case JJ_NONE:
        return "None";
    case JJ_BOOL:
        return "bool";
    case JJ_INT:
    case JJ_BIG:
        return "int";
    case JJ_FLOAT:
        return "float";
    case JJ_STR:
        return v.as.s->markup ? "Markup" : "str";
    case JJ_LIST:
        return "list";
    case JJ_TUPLE:
        return "tuple";
    case JJ_DICT:
        return "dict";
    case JJ_VIEW:
        return v.id == JJ_KEYS ? "dict_keys" : v.id == JJ_VALUES ? "dict_values" : "dict_items";
    case JJ_RANGE:
        return "range";
    case JJ_ITER:
        return "generator";
    case JJ_NAMESPACE:
        return "Namespace";
    case JJ_MACRO:
        return "Macro";
    case JJ_LOOP:
        return "LoopContext";
    case JJ_FUNCTION:
        return "function";
    case JJ_METHOD:
        return "builtin_function_or_method";
    case JJ_CYCLER:
        return "Cycler";
    case JJ_JOINER:
        return "Joiner";
    }
    return "object";
}

bool jj_as_int(jj_value v, int64_t *i) {
    if (v.kind == JJ_INT)
        *i = v.as.i;
    else if (v.kind == JJ_BOOL)
        *i = v.as.b;
    else
        return false;
    return true;
}

bool jj_as_float(jj_value v, double *f) {
    int64_t i;
    if (v.kind == JJ_FLOAT) {
        *f = v.as.f;
        return true;
    }
    if (v.kind == JJ_BIG) return tri_str_to_f64(jj_view_of(v.as.s), f);
    if (!jj_as_int(v, &i)) return false;
    *f = (double)i;
    return true;
}

bool jj_has_length(jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_UNDEFINED:
    case JJ_STR:
    case JJ_LIST:
    case JJ_TUPLE:
    case JJ_DICT:
    case JJ_VIEW:
    case JJ_RANGE:
    case JJ_LOOP:
        return true;
    default:
        return false;
    }
}

int64_t jj_length(jj_vm *vm, jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_UNDEFINED:
        return 0;
    case JJ_STR:
        return jj_step(vm, (int64_t)(v.as.s->n >> 8)) ? jj_str_count(v.as.s) : -1;
    case JJ_LIST:
    case JJ_TUPLE:
        return (int64_t)v.as.list->n;
    case JJ_DICT:
    case JJ_VIEW:
        return (int64_t)v.as.dict->n;
    case JJ_RANGE:
        return v.as.range->n;
    case JJ_LOOP:
        return jj_loop_length(vm, v.as.loop);
    default:
        jj_fail(vm, "object of type '%s' has no len()", jj_type_name(v));
        return -1;
    }
}

bool jj_truth(jj_vm *vm, jj_value v) {
    switch ((jj_kind)v.kind) {
    case JJ_BOOL:
        return v.as.b;
    case JJ_STR:
        return v.as.s->n > 0;
    case JJ_NONE:
    case JJ_UNDEFINED:
        return false;
    case JJ_INT:
        return v.as.i != 0;
    case JJ_FLOAT:
        return v.as.f != 0;
    case JJ_LOOP:
        return jj_loop_length(vm, v.as.loop) > 0;
    case JJ_LIST:
    case JJ_TUPLE:
    case JJ_DICT:
    case JJ_VIEW:
    case JJ_RANGE:
        return jj_length(vm, v) > 0;
    default:
        return true;
    }
}

/* ---- comparison ---- */

static bool is_number(jj_value v) {
    return v.kind == JJ_INT || v.kind == JJ_BOOL || v.kind == JJ_FLOAT || v.kind == JJ_BIG;
}

static int order_of(double a, double b) { /* 2: not comparable */
    return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
}

static int compare_numbers(jj_value a, jj_value b) {
    int64_t i, j;
    double f = 0, g = 0;
    if (jj_as_int(a, &i) && jj_as_int(b, &j)) return (i > j) - (i < j);
    if (a.kind == JJ_BIG && b.kind == JJ_BIG) {
        if (jj_str_eq(a.as.s, b.as.s)) return 0;
        bool minus = a.as.s->ptr[0] == '-';
        if (minus != (b.as.s->ptr[0] == '-')) return minus ? -1 : 1;
        int order =
            a.as.s->n != b.as.s->n ? (a.as.s->n > b.as.s->n ? 1 : -1) : jj_str_cmp(a.as.s, b.as.s);
        return minus ? -order : order;
    }
    jj_as_float(a, &f);
    jj_as_float(b, &g);
    /* An integer that a double cannot hold is compared as an integer. */
    if (jj_as_int(a, &i) && b.kind == JJ_FLOAT && g >= -9.2e18 && g <= 9.2e18 && f == g) {
        return (i > (int64_t)g) - (i < (int64_t)g);
    }
    if (jj_as_int(b, &j) && a.kind == JJ_FLOAT && f >= -9.2e18 && f <= 9.2e18 && f == g) {
        return ((int64_t)f > j) - ((int64_t)f < j);
    }
    return order_of(f, g);
}

static bool equal_lists(jj_vm *vm, const jj_list *a, const jj_list *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!jj_equal(vm, a->items[i], b->items[i])) return false;
    }
    return true;
}

static bool equal_dicts(jj_vm *vm, const jj_dict *a, const jj_dict *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const jj_entry *other = jj_dict_find(vm, b, a->entries[i].key, a->entries[i].hash);
        if (!other || !jj_equal(vm, a->entries[i].value, other->value)) return false;
    }
    return true;
}

bool jj_equal(jj_vm *vm, jj_value a, jj_value b) {
    if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    switch ((jj_kind)a.kind) {
    case JJ_NONE:
    case JJ_UNDEFINED:
        return true;
    case JJ_STR:
        return jj_str_eq(a.as.s, b.as.s);
    case JJ_LIST:
    case JJ_TUPLE:
    case JJ_DICT: {
        if (a.as.p == b.as.p) return true;
        if (!jj_step(vm, 1) || !jj_enter(vm)) return false;
        bool equal = a.kind == JJ_DICT ? equal_dicts(vm, a.as.dict, b.as.dict)
                                       : equal_lists(vm, a.as.list, b.as.list);
        jj_leave(vm);
        return equal && !vm->rc;
    }
    case JJ_VIEW:
        return a.id == b.id && a.as.p == b.as.p;
    case JJ_RANGE: {
        const jj_range *r = a.as.range, *s = b.as.range;
        return r->n == s->n &&
               (!r->n || (r->start == s->start && (r->n == 1 || r->step == s->step)));
    }
    case JJ_FUNCTION:
        return a.id == b.id;
    case JJ_METHOD:
        return a.as.method->def == b.as.method->def &&
               jj_equal(vm, a.as.method->self, b.as.method->self);
    default:
        return a.as.p == b.as.p;
    }
}

static int cannot_compare(jj_vm *vm, const char *op, jj_value a, jj_value b) {
    if (a.kind == JJ_UNDEFINED)
        jj_fail_undefined(vm, a);
    else if (b.kind == JJ_UNDEFINED)
        jj_fail_undefined(vm, b);
    else {
        jj_fail(vm, "'%s' not supported between instances of '%s' and '%s'", op, jj_type_name(a),
            jj_type_name(b));
    }
    return -1;
}

static int compare_op(jj_vm *vm, jj_op op, jj_value a, jj_value b);

static int compare_lists(jj_vm *vm, jj_op op, const jj_list *a, const jj_list *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        if (jj_equal(vm, a->items[i], b->items[i])) continue;
        if (vm->rc || !jj_enter(vm)) return -1;
        int result = compare_op(vm, op, a->items[i], b->items[i]);
        jj_leave(vm);
        return result;
    }
    switch (op) {
    case JJ_LT:
        return a->n < b->n;
    case JJ_LE:
        return a->n <= b->n;
    case JJ_GT:
        return a->n > b->n;
    default:
        return a->n >= b->n;
    }
}

static int compare_op(jj_vm *vm, jj_op op, jj_value a, jj_value b) {
    static const char *const names[] = {
        [JJ_LT] = "<", [JJ_LE] = "<=", [JJ_GT] = ">", [JJ_GE] = ">="};
    int order;
    if (!jj_step(vm, 1)) return -1;
    if (is_number(a) && is_number(b)) {
        order = compare_numbers(a, b);
        if (order == 2) return 0; /* NaN */
    } else if (a.kind == JJ_STR && b.kind == JJ_STR) {
        order = jj_str_cmp(a.as.s, b.as.s);
    } else if (a.kind == b.kind && (a.kind == JJ_LIST || a.kind == JJ_TUPLE)) {
        return compare_lists(vm, op, a.as.list, b.as.list);
    } else {
        return cannot_compare(vm, names[op], a, b);
    }
    return op == JJ_LT   ? order < 0
           : op == JJ_LE ? order <= 0
           : op == JJ_GT ? order > 0
                         : order >= 0;
}

int jj_less(jj_vm *vm, jj_value a, jj_value b) {
    return compare_op(vm, JJ_LT, a, b);
}

static jj_value contains_iterated(jj_vm *vm, jj_value container, jj_value item) {
    jj_iter *it = jj_iterate(vm, container);
    jj_value v;
    int got;
    if (!it) return jj_error();
    while ((got = jj_next(vm, it, &v)) > 0) {
        if (jj_equal(vm, v, item)) return jj_bool(true);
    }
    return got < 0 || vm->rc ? jj_error() : jj_bool(false);
}

jj_value jj_contains(jj_vm *vm, jj_value container, jj_value item) {
    uint32_t hash;
    switch ((jj_kind)container.kind) {
    case JJ_STR:
        if (item.kind != JJ_STR) {
            return jj_fail(
                vm, "'in <string>' requires string as left operand, not %s", jj_type_name(item));
        }
        return jj_bool(jj_str_find(vm, container.as.s, item.as.s, 0) >= 0);
    case JJ_DICT:
    case JJ_VIEW:
        if (container.kind == JJ_VIEW && container.id != JJ_KEYS) break;
        if (!jj_hash(vm, item, &hash)) {
            return jj_fail(vm, "unhashable type: '%s'", jj_type_name(item));
        }
        return jj_bool(jj_dict_find(vm, container.as.dict, item, hash) != NULL);
    case JJ_LIST:
    case JJ_TUPLE:
        for (size_t i = 0; i < container.as.list->n; i++) {
            if (jj_equal(vm, container.as.list->items[i], item)) return jj_bool(true);
        }
        if (!jj_step(vm, (int64_t)container.as.list->n)) return jj_error();
        return vm->rc ? jj_error() : jj_bool(false);
    case JJ_UNDEFINED:
    case JJ_RANGE:
    case JJ_ITER:
    case JJ_LOOP:
        break;
    default:
        return jj_fail(vm, "argument of type '%s' is not iterable", jj_type_name(container));
    }
    return contains_iterated(vm, container, item);
}

jj_value jj_compare(jj_vm *vm, jj_op op, jj_value a, jj_value b) {
    jj_value v;
    switch (op) {
    case JJ_EQ:
    case JJ_NE: {
        bool equal = jj_equal(vm, a, b);
        return vm->rc ? jj_error() : jj_bool(equal == (op == JJ_EQ));
    }
    case JJ_IN:
        return jj_contains(vm, b, a);
    case JJ_NOT_IN:
        v = jj_contains(vm, b, a);
        JJ_TRY(v);
        return jj_bool(!v.as.b);
    default: {
        int result = compare_op(vm, op, a, b);
        return result < 0 ? jj_error() : jj_bool(result);
    }
    }
}

/* ---- arithmetic ---- */

static const char *const op_names[] = {[JJ_ADD] = "+",
    [JJ_SUB] = "-",
    [JJ_MUL] = "*",
    [JJ_DIV] = "/",
    [JJ_FLOORDIV] = "//",
    [JJ_MOD] = "%",
    [JJ_POW] = "** or pow()"};

static jj_value number(jj_value v, jj_value a, jj_value b) {
    v.plain = a.plain || b.plain;
    return v;
}

static jj_value too_big(jj_vm *vm) {
    return jj_limit(vm, "an integer beyond 64 bits, which are not computed with");
}

static jj_value power_i64(jj_vm *vm, int64_t base, int64_t exponent) {
    int64_t result = 1;
    if (exponent < 0) {
        if (!base) return jj_fail(vm, "0.0 cannot be raised to a negative power");
        return jj_float(pow((double)base, (double)exponent));
    }
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return too_big(vm);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return too_big(vm);
    }
    return jj_int(result);
}

static jj_value compute_i64(jj_vm *vm, jj_op op, int64_t a, int64_t b) {
    int64_t result;
    switch (op) {
    case JJ_ADD:
        return __builtin_add_overflow(a, b, &result) ? too_big(vm) : jj_int(result);
    case JJ_SUB:
        return __builtin_sub_overflow(a, b, &result) ? too_big(vm) : jj_int(result);
    case JJ_MUL:
        return __builtin_mul_overflow(a, b, &result) ? too_big(vm) : jj_int(result);
    case JJ_POW:
        return power_i64(vm, a, b);
    default:
        break;
    }
    if (!b) {
        return jj_fail(
            vm, op == JJ_DIV ? "division by zero" : "integer division or modulo by zero");
    }
    if (op == JJ_DIV) return jj_float((double)a / (double)b);
    if (a == INT64_MIN && b == -1) return op == JJ_MOD ? jj_int(0) : too_big(vm);
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return jj_int(op == JJ_MOD ? rest : quotient);
}

static jj_value compute_f64(jj_vm *vm, jj_op op, double a, double b) {
    switch (op) {
    case JJ_ADD:
        return jj_float(a + b);
    case JJ_SUB:
        return jj_float(a - b);
    case JJ_MUL:
        return jj_float(a * b);
    case JJ_POW:
        if (a == 0 && b < 0) return jj_fail(vm, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b)) {
            return jj_lacking(vm, "a complex number, which is not supported");
        }
        {
            double result = pow(a, b);
            if (isinf(result) && isfinite(a) && isfinite(b)) {
                return jj_fail(vm, "(34, 'Numerical result out of range')");
            }
            return jj_float(result);
        }
    default:
        break;
    }
    if (b == 0) {
        return jj_fail(vm, op == JJ_DIV        ? "float division by zero"
                           : op == JJ_FLOORDIV ? "float floor division by zero"
                                               : "float modulo");
    }
    if (op == JJ_DIV) return jj_float(a / b);
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0) {
        if ((rest < 0) != (b < 0)) {
            rest += b;
            quotient -= 1;
        }
    } else {
        rest = copysign(0, b);
    }
    if (op == JJ_MOD) return jj_float(rest);
    if (quotient == 0) return jj_float(copysign(0, a / b));
    double whole = floor(quotient);
    return jj_float(quotient - whole > 0.5 ? whole + 1 : whole);
}

static jj_value add_lists(jj_vm *vm, jj_value a, jj_value b) {
    size_t n = a.as.list->n, m = b.as.list->n;
    jj_list *sum = jj_list_new(vm, n + m);
    if (!sum || !jj_step(vm, (int64_t)(n + m))) return jj_error();
    if (n) memcpy(sum->items, a.as.list->items, n * sizeof *sum->items);
    if (m) memcpy(sum->items + n, b.as.list->items, m * sizeof *sum->items);
    sum->plain = a.as.list->plain && b.as.list->plain;
    return a.kind == JJ_TUPLE ? jj_of_tuple(sum) : jj_of_list(sum);
}

static jj_value add_strs(jj_vm *vm, jj_value a, jj_value b) {
    bool markup = a.as.s->markup || b.as.s->markup;
    if (!markup) return jj_concat(vm, a.as.s, b.as.s);
    if (!a.as.s->markup) a = jj_escape(vm, a);
    if (!b.as.s->markup) b = jj_escape(vm, b);
    JJ_TRY(a);
    JJ_TRY(b);
    jj_out out = {0};
    jj_put_str(vm, &out, a.as.s);
    jj_put_str(vm, &out, b.as.s);
    jj_value sum = jj_out_str(vm, &out);
    if (!jj_is_error(sum)) sum.as.s->markup = true;
    return sum;
}

jj_value jj_repeat(jj_vm *vm, jj_value v, int64_t times) {
    if (times < 0) times = 0;
    if (v.kind == JJ_STR) {
        size_t total;
        if (__builtin_mul_overflow(v.as.s->n, (size_t)times, &total) ||
            total > vm->limits.max_memory_bytes) {
            return jj_limit(vm,
                "a text of %zu bytes repeated %" PRId64
                " times is more than %zu bytes (max_memory_bytes)",
                v.as.s->n, times, vm->limits.max_memory_bytes);
        }
        jj_out out = {0};
        bool markup = v.as.s->markup;
        for (int64_t i = 0; i < times && v.as.s->n && !vm->rc; i++) {
            jj_put_str(vm, &out, v.as.s);
            if (!jj_step(vm, 1)) return jj_error();
        }
        jj_value result = jj_out_str(vm, &out);
        if (!jj_is_error(result)) result.as.s->markup = markup;
        return result;
    }
    const jj_list *list = v.as.list;
    size_t total;
    if (__builtin_mul_overflow(list->n, (size_t)times, &total) ||
        total > vm->limits.max_memory_bytes / sizeof(jj_value)) {
        return jj_limit(vm,
            "a list of %zu items repeated %" PRId64
            " times is more than %zu bytes (max_memory_bytes)",
            list->n, times, vm->limits.max_memory_bytes);
    }
    jj_list *result = jj_list_new(vm, total);
    if (!result || !jj_step(vm, (int64_t)total)) return jj_error();
    for (size_t i = 0; i < total; i++)
        result->items[i] = list->items[i % list->n];
    result->plain = list->plain;
    return v.kind == JJ_TUPLE ? jj_of_tuple(result) : jj_of_list(result);
}

static bool is_sequence(jj_value v) {
    return v.kind == JJ_STR || v.kind == JJ_LIST || v.kind == JJ_TUPLE;
}

jj_value jj_binary(jj_vm *vm, jj_op op, jj_value a, jj_value b) {
    int64_t i, j;
    double f, g;
    if (op == JJ_ADD && a.kind == JJ_STR && b.kind == JJ_STR) return add_strs(vm, a, b);
    if (a.kind == JJ_UNDEFINED) return jj_fail_undefined(vm, a);
    if (op == JJ_MOD && a.kind == JJ_STR) return jj_percent(vm, a.as.s, b);
    if (b.kind == JJ_UNDEFINED) return jj_fail_undefined(vm, b);
    if (jj_as_int(a, &i) && jj_as_int(b, &j)) return number(compute_i64(vm, op, i, j), a, b);
    if (is_number(a) && is_number(b)) {
        if (a.kind != JJ_FLOAT && b.kind != JJ_FLOAT) return too_big(vm);
        if (jj_as_float(a, &f) && jj_as_float(b, &g)) {
            return number(compute_f64(vm, op, f, g), a, b);
        }
    }
    if (op == JJ_ADD && a.kind == b.kind && (a.kind == JJ_LIST || a.kind == JJ_TUPLE)) {
        return add_lists(vm, a, b);
    }
    if (op == JJ_MUL && is_sequence(a) && jj_as_int(b, &j)) return jj_repeat(vm, a, j);
    if (op == JJ_MUL && is_sequence(b) && jj_as_int(a, &i)) return jj_repeat(vm, b, i);
    if (op == JJ_ADD && a.kind == JJ_STR) {
        return jj_fail(vm, "can only concatenate str (not \"%s\") to str", jj_type_name(b));
    }
    return jj_fail(vm, "unsupported operand type(s) for %s: '%s' and '%s'", op_names[op],
        jj_type_name(a), jj_type_name(b));
}

jj_value jj_negate(jj_vm *vm, jj_value v) {
    int64_t i;
    if (v.kind == JJ_UNDEFINED) return jj_fail_undefined(vm, v);
    if (v.kind == JJ_FLOAT) return number(jj_float(-v.as.f), v, v);
    if (v.kind == JJ_BIG) return too_big(vm);
    if (!jj_as_int(v, &i)) {
        return jj_fail(vm, "bad operand type for unary -: '%s'", jj_type_name(v));
    }
    if (i == INT64_MIN) return too_big(vm);
    return number(jj_int(-i), v, v);
}

jj_value jj_positive(jj_vm *vm, jj_value v) {
    int64_t i;
    if (v.kind == JJ_UNDEFINED) return jj_fail_undefined(vm, v);
    if (v.kind == JJ_FLOAT || v.kind == JJ_BIG) return v;
    if (!jj_as_int(v, &i)) {
        return jj_fail(vm, "bad operand type for unary +: '%s'", jj_type_name(v));
    }
    return number(jj_int(i), v, v);
}
