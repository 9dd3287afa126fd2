#include "text/jinja/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "text/jinja/eval.h"
#include "text/jinja/lex.h"
#include "text/jinja/parse.h"
#include "text/jinja/program.h"
#include "text/jinja/scope.h"
#include "text/unicode.h"

enum { MAX_SOURCE_BYTES = 16 << 20 };

/* ---- compile ---- */

static tri_status check_utf8(tri_str text, tri_error *err) {
    size_t n = tri_utf8_valid_prefix(text);
    if (n == text.len) return TRI_OK;
    return tri_jinja_syntax(err, text, n, "the template is not UTF-8");
}

/* Newlines as \n; one at the very end is dropped. */
static tri_status copy_source(tri_str *to, tri_str from, tri_arena *arena, tri_error *err) {
    char *text = tri_arena_strndup(arena, "", 0);
    if (from.len) text = tri_arena_alloc_aligned(arena, from.len + 1, 1);
    if (!text) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a template");
    size_t n = 0;
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        if (c == '\r' && i + 1 < from.len && from.ptr[i + 1] == '\n') continue;
        text[n++] = c == '\r' ? '\n' : c;
    }
    if (n && text[n - 1] == '\n') n--;
    text[n] = 0;
    *to = (tri_str){text, n};
    return TRI_OK;
}

tri_status tri_jinja_compile(tri_jinja **jinja, tri_str source, tri_error *err) {
    tri_jinja_tokens tokens;
    tri_arena scratch;
    tri_status rc;
    tri_jinja *made = calloc(1, sizeof *made);
    tri_arena_init(&scratch, 0);
    if (!made) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a template");
    tri_arena_init(&made->arena, 0);
    if (source.len > MAX_SOURCE_BYTES) {
        rc = TRI_FAIL(err, TRI_E_LIMIT, "a template of %zu bytes, the limit is %d", source.len,
            MAX_SOURCE_BYTES);
        goto done;
    }
    rc = check_utf8(source, err);
    if (!rc) rc = copy_source(&made->source, source, &made->arena, err);
    if (rc) goto done;
    made->root = TRI_NEW(&made->arena, tri_jinja_function);
    if (!made->root) rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for a template");
    if (!rc) rc = tri_jinja_lex(&tokens, made->source, &scratch, err);
    if (!rc) rc = tri_jinja_parse(&made->root->body, made->source, &tokens, &made->arena, err);
    if (!rc) rc = tri_jinja_resolve(made->root, made->source, &made->arena, err);
    if (!rc) *jinja = made;

done:
    tri_arena_deinit(&scratch);
    if (rc) tri_jinja_free(made);
    return rc;
}

void tri_jinja_free(tri_jinja *jinja) {
    if (!jinja) return;
    tri_arena_deinit(&jinja->arena);
    free(jinja);
}

/* ---- inputs ---- */

static tri_jinja_value of_json(tri_jinja_vm *vm, const tri_json *json, bool plain);

static tri_jinja_value of_number(tri_jinja_vm *vm, tri_str text, bool plain) {
    int64_t i;
    tri_jinja_value v;
    bool integer = text.len && text.ptr[text.len - 1] != 'y' && text.ptr[text.len - 1] != 'N';
    for (size_t k = 0; k < text.len && integer; k++)
        integer = text.ptr[k] != '.' && text.ptr[k] != 'e' && text.ptr[k] != 'E';
    if (!integer) {
        v = tri_jinja_float(tri_json_number_f64(text));
    } else if (tri_str_to_i64(text, &i)) {
        v = tri_jinja_int(i);
    } else {
        tri_jinja_str *digits = tri_jinja_str_new(vm, text.ptr, text.len, plain);
        if (!digits) return tri_jinja_error();
        v = (tri_jinja_value){.kind = TRI_JINJA_BIG, .as.s = digits};
    }
    v.plain = plain;
    return v;
}

static tri_jinja_value of_array(tri_jinja_vm *vm, const tri_json *json, bool plain) {
    tri_jinja_list *list = tri_jinja_list_new(vm, (size_t)json->n);
    if (!list) return tri_jinja_error();
    list->plain = plain;
    for (int32_t i = 0; i < json->n; i++) {
        list->items[i] = of_json(vm, &json->items[i], plain);
        TRI_JINJA_TRY(list->items[i]);
    }
    return tri_jinja_of_list(list);
}

static tri_jinja_value of_object(tri_jinja_vm *vm, const tri_json *json, bool plain) {
    tri_jinja_dict *d = tri_jinja_dict_new(vm, (size_t)json->n);
    if (!d) return tri_jinja_error();
    d->plain = plain;
    tri_jinja_str *keys = tri_jinja_array(vm, (size_t)json->n, sizeof *keys);
    if (!keys) return tri_jinja_error();
    for (int32_t i = 0; i < json->n; i++) { /* the reader has dropped double keys */
        keys[i] = (tri_jinja_str){.ptr = json->keys[i].ptr,
            .n = json->keys[i].len,
            .n_spans = plain && json->keys[i].len ? -1 : 0};
        tri_jinja_entry *e = &d->entries[d->n++];
        *e = (tri_jinja_entry){tri_jinja_of_str(&keys[i]), of_json(vm, &json->items[i], plain),
            tri_jinja_str_hash(&keys[i])};
        TRI_JINJA_TRY(e->value);
    }
    return tri_jinja_dict_index(vm, d) ? tri_jinja_of_dict(d) : tri_jinja_error();
}

/* Depth is capped by the JSON reader. */
static tri_jinja_value of_json(tri_jinja_vm *vm, const tri_json *json, bool plain) {
    tri_jinja_value v;
    switch (json->kind) {
    case TRI_JSON_BOOL:
        v = tri_jinja_bool(json->boolean);
        break;
    case TRI_JSON_NUMBER:
        return of_number(vm, json->text, plain);
    case TRI_JSON_STRING:
        return tri_jinja_of_str(tri_jinja_str_new(vm, json->text.ptr, json->text.len, plain));
    case TRI_JSON_ARRAY:
        return of_array(vm, json, plain);
    case TRI_JSON_OBJECT:
        return of_object(vm, json, plain);
    default:
        v = tri_jinja_none();
        break;
    }
    v.plain = plain;
    return v;
}

static bool take_inputs(
    tri_jinja_vm *vm, tri_jinja_bindings *to, const tri_json *json, bool plain) {
    *to = (tri_jinja_bindings){.json = json, .plain = plain};
    if (!json) return true;
    if (json->kind != TRI_JSON_OBJECT) {
        tri_jinja_fail(vm, "the inputs of a template are a JSON object");
        return false;
    }
    to->made = tri_jinja_array(vm, (size_t)json->n, sizeof *to->made);
    for (int32_t i = 0; to->made && i < json->n; i++)
        to->made[i] = tri_jinja_missing();
    return to->made != NULL;
}

tri_jinja_value tri_jinja_input(
    tri_jinja_vm *vm, tri_jinja_bindings *inputs, const tri_jinja_str *name) {
    int32_t n = inputs->json ? inputs->json->n : 0;
    for (int32_t i = 0; i < n; i++) {
        if (!tri_str_equal(inputs->json->keys[i], tri_jinja_view_of(name))) continue;
        tri_jinja_value *made = &inputs->made[i];
        if (!tri_jinja_given(*made)) *made = of_json(vm, &inputs->json->items[i], inputs->plain);
        return *made;
    }
    return tri_jinja_missing();
}

/* ---- render ---- */

static tri_jinja_limits with_defaults(const tri_jinja_limits *limits) {
    tri_jinja_limits l = limits ? *limits : (tri_jinja_limits){0};
    if (!l.max_steps) l.max_steps = 50000000;
    if (!l.max_depth) l.max_depth = 200;
    if (!l.max_output_bytes) l.max_output_bytes = (size_t)64 << 20;
    if (!l.max_memory_bytes) l.max_memory_bytes = (size_t)1 << 30;
    return l;
}

tri_status tri_jinja_render(const tri_jinja *jinja, const tri_jinja_inputs *inputs,
    const tri_jinja_limits *limits, tri_jinja_result *result, tri_error *err) {
    tri_jinja_out out = {0};
    tri_jinja_vm vm = {.program = jinja,
        .limits = with_defaults(limits),
        .err = err,
        .out = &out,
        .root = &out,
        .now_s = inputs->now_s};
    tri_arena_init(&vm.arena, vm.limits.max_memory_bytes);
    if (take_inputs(&vm, &vm.user, inputs->user, true) &&
        take_inputs(&vm, &vm.model, inputs->model, false)) {
        vm.variables = tri_jinja_activate(&vm, jinja->root, NULL);
    }
    if (vm.variables && tri_jinja_enter_scope(&vm, &jinja->root->scope)) {
        tri_jinja_run_block(&vm, &jinja->root->body);
    }
    tri_status rc = vm.rc;
    if (!rc) {
        tri_buf_clear(&result->text);
        tri_buf_clear(&result->plain);
        tri_buf_append(&result->text, out.ptr, out.n);
        tri_buf_append(&result->plain, out.spans, out.n_spans * sizeof *out.spans);
        rc = tri_buf_status(&result->text, err);
        if (!rc) rc = tri_buf_status(&result->plain, err);
    }
    tri_arena_deinit(&vm.arena);
    return rc;
}

void tri_jinja_result_deinit(tri_jinja_result *result) {
    tri_buf_deinit(&result->text);
    tri_buf_deinit(&result->plain);
}
