/* template.c - chat templates as trireme/text.h offers them: which template, the variables that
 * transformers' apply_chat_template passes, and the way from a rendered text to ids. */
#include "text/template.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/jinja/jinja.h"
#include "trireme/graph.h"
#include "trireme/text.h"

enum { MAX_INPUT_BYTES = 256 << 20 };

struct tri_chat_template {
    tri_arena arena;
    tri_str source;
    tri_jinja *jinja, *tool_use; /* tool_use: NULL, or what conversations with tools take */
    tri_json model;              /* an object: the model's own variables */
};

/* ---- opening ---- */

static int32_t find_source(const tri_template_sources *s, const char *name) {
    for (int32_t i = 0; i < s->n; i++) {
        if (tri_str_is(s->names[i], name)) return i;
    }
    return -1;
}

static tri_status no_such_template(
    const tri_template_sources *s, const char *name, tri_error *err) {
    tri_buf names = {0};
    for (int32_t i = 0; i < s->n; i++)
        tri_buf_printf(&names, "%s%.*s", i ? ", " : "", (int)s->names[i].len, s->names[i].ptr);
    tri_status rc =
        TRI_FAIL(err, TRI_E_NOT_FOUND, "no chat template is named '%s'; the model has %s", name,
            names.failed || !names.ptr ? "others" : names.ptr);
    tri_buf_deinit(&names);
    return rc;
}

static tri_status compile(
    tri_jinja **jinja, const tri_template_sources *s, int32_t i, tri_error *err) {
    tri_status rc = tri_jinja_compile(jinja, s->texts[i], err);
    if (rc) tri_error_context(err, "template '%.*s'", (int)s->names[i].len, s->names[i].ptr);
    return rc;
}

/* What transformers passes when its caller says nothing, and the special tokens. */
static tri_status make_model(tri_chat_template *t, const tri_template_sources *s, tri_error *err) {
    static const char *const nulls[] = {"tools", "documents"};
    int32_t room = 4 + s->n_tokens;
    tri_str *keys = TRI_NEW_N(&t->arena, tri_str, room);
    tri_json *items = TRI_NEW_N(&t->arena, tri_json, room);
    if (!keys || !items) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a chat template");
    int32_t n = 0;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++, n++) {
        keys[n] = tri_str_of(nulls[i]);
        items[n].kind = TRI_JSON_NULL;
    }
    keys[n] = TRI_STR("add_generation_prompt");
    items[n++] = (tri_json){.kind = TRI_JSON_BOOL, .boolean = false};
    for (int32_t i = 0; i < s->n_tokens; i++, n++) {
        keys[n] = s->token_keys[i];
        items[n] = (tri_json){.kind = TRI_JSON_STRING, .text = s->tokens[i]};
    }
    if (tri_json_is(s->extra_tokens, TRI_JSON_ARRAY)) {
        keys[n] = TRI_STR("additional_special_tokens");
        items[n++] = *s->extra_tokens;
    }
    t->model = (tri_json){.kind = TRI_JSON_OBJECT, .n = n, .items = items, .keys = keys};
    return TRI_OK;
}

static tri_status open_template(
    tri_chat_template *t, const char *path, const char *name, tri_error *err) {
    tri_template_sources s;
    TRI_TRY(tri_template_sources_read(&s, path, &t->arena, err));
    int32_t at = find_source(&s, name ? name : "default"), tools = find_source(&s, "tool_use");
    if (at < 0 && !name && s.n == 1) at = 0; /* one alone needs no name */
    if (at < 0 && s.n > 0) return no_such_template(&s, name ? name : "default", err);
    if (at < 0) {
        return TRI_FAIL(err, TRI_E_NOT_FOUND,
            "the model brings no chat template; put one beside it as chat_template.jinja, or use "
            "--raw, which takes the prompt as it is");
    }
    t->source = s.texts[at];
    TRI_TRY(compile(&t->jinja, &s, at, err));
    if (!name && tools >= 0 && tools != at) TRI_TRY(compile(&t->tool_use, &s, tools, err));
    return make_model(t, &s, err);
}

tri_status tri_chat_template_open(
    tri_chat_template **chat, const char *path, const char *name, tri_error *err) {
    tri_chat_template *t = calloc(1, sizeof *t);
    if (!t) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a chat template");
    tri_arena_init(&t->arena, 0);
    tri_status rc = open_template(t, path, name, err);
    if (rc) {
        tri_chat_template_close(t);
        tri_error_context(err, "chat template of %s", path);
        return rc;
    }
    *chat = t;
    return TRI_OK;
}

void tri_chat_template_close(tri_chat_template *t) {
    if (!t) return;
    tri_jinja_free(t->jinja);
    tri_jinja_free(t->tool_use);
    tri_arena_deinit(&t->arena);
    free(t);
}

const char *tri_chat_template_source(const tri_chat_template *t, size_t *n) {
    if (n) *n = t->source.len;
    return t->source.ptr;
}

/* ---- rendering ---- */

static bool has_tools(const tri_json *inputs) {
    const tri_json *tools = tri_json_get(inputs, "tools");
    return tri_json_is(tools, TRI_JSON_ARRAY) && tools->n > 0;
}

static const char *kind_of(const tri_json *value) {
    static const char *const names[] = {[TRI_JSON_NULL] = "null",
        [TRI_JSON_BOOL] = "a boolean",
        [TRI_JSON_NUMBER] = "a number",
        [TRI_JSON_STRING] = "a text",
        [TRI_JSON_ARRAY] = "an array",
        [TRI_JSON_OBJECT] = "an object"};
    return names[value->kind];
}

/* What transformers' apply_chat_template takes: nothing, or a list of JSON schemas. */
static tri_status check_tools(const tri_json *tools, tri_error *err) {
    if (!tools || tri_json_is(tools, TRI_JSON_NULL)) return TRI_OK;
    if (!tri_json_is(tools, TRI_JSON_ARRAY)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "`tools` is %s; a JSON array of objects, one a tool, is wanted%s", kind_of(tools),
            tools->kind == TRI_JSON_OBJECT ? ": put [ ] around the one" : "");
    }
    for (int32_t i = 0; i < tools->n; i++) {
        if (tools->items[i].kind == TRI_JSON_OBJECT) continue;
        return TRI_FAIL(err, TRI_E_ARGUMENT, "`tools`[%d] is %s; each tool is a JSON object", i,
            kind_of(&tools->items[i]));
    }
    return TRI_OK;
}

static tri_status parse_inputs(
    const char *inputs, size_t n, tri_arena *arena, const tri_json **root, tri_error *err) {
    if (n > MAX_INPUT_BYTES) {
        return TRI_FAIL(
            err, TRI_E_LIMIT, "inputs of %zu bytes, the limit is %d", n, (int)MAX_INPUT_BYTES);
    }
    tri_status rc = tri_json_parse((tri_str){inputs, n}, arena, root, err);
    if (rc) {
        tri_error_context(err, "inputs of the chat template");
        return rc;
    }
    if (!tri_json_is(*root, TRI_JSON_OBJECT) ||
        !tri_json_is(tri_json_get(*root, "messages"), TRI_JSON_ARRAY)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "inputs of a chat template are a JSON object with an array `messages`");
    }
    return check_tools(tri_json_get(*root, "tools"), err);
}

tri_status tri_chat_template_render(
    const tri_chat_template *t, const char *inputs, size_t n, tri_chat_text *out, tri_error *err) {
    tri_arena arena;
    const tri_json *root;
    tri_jinja_result result = {0};
    tri_arena_init(&arena, 0);
    tri_status rc = parse_inputs(inputs, n, &arena, &root, err);
    if (rc) goto done;
    const tri_jinja *jinja = t->tool_use && has_tools(root) ? t->tool_use : t->jinja;
    rc = tri_jinja_render(
        jinja, &(tri_jinja_inputs){.model = &t->model, .user = root}, NULL, &result, err);
    if (rc) {
        tri_error_context(err, "chat template");
        goto done;
    }
    tri_buf_puts(&result.text, ""); /* there is a NUL even when nothing was written */
    rc = tri_buf_status(&result.text, err);
    if (rc) goto done;
    *out = (tri_chat_text){.text = result.text.ptr,
        .n = result.text.len,
        .plain = (tri_text_span *)(void *)result.plain.ptr,
        .n_plain = (int32_t)(result.plain.len / sizeof(tri_text_span))};
    result = (tri_jinja_result){0};

done:
    tri_jinja_result_deinit(&result);
    tri_arena_deinit(&arena);
    return rc;
}

void tri_chat_text_free(tri_chat_text *text) {
    free(text->text);
    free(text->plain);
    *text = (tri_chat_text){0};
}

tri_status tri_chat_text_encode(const tri_chat_text *text, const tri_tokenizer *t, int32_t **ids,
    int32_t *n_ids, tri_error *err) {
    const tri_encode_options options = {.struct_size = sizeof options,
        .parse_special = true,
        .plain = text->plain,
        .n_plain = text->n_plain};
    return tri_tokenizer_encode(t, text->text, text->n, &options, ids, n_ids, err);
}
