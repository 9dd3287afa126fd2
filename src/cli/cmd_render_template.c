/* cmd_render_template.c - a conversation as the model will see it. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/options.h"
#include "trireme/graph.h"
#include "trireme/text.h"

enum { MAX_INPUT_BYTES = 256 << 20 };

typedef struct render_args {
    const char *model, *name, *tools;
    tri_option_list set;
    bool add_generation_prompt, ids, json, source;
} render_args;

/* ---- inputs ---- */

/* Python's words, and what begins as JSON and is none: not what its writer means by a text. */
static bool looks_like_json(const char *value) {
    static const char *const words[] = {"True", "False", "None"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strcmp(value, words[i])) return true;
    }
    return *value && strchr("{[\"", *value) != NULL;
}

/* "key=JSON"; a word that is no JSON is a text. */
static tri_status put_setting(
    tri_json_writer *w, const char *setting, tri_arena *arena, tri_error *err) {
    const char *equals = strchr(setting, '=');
    const tri_json *value;
    if (!equals || equals == setting) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "--set %s is no KEY=VALUE, such as --set enable_thinking=false", setting);
    }
    char *key = tri_arena_strndup(arena, setting, (size_t)(equals - setting));
    if (!key) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for --set %s", setting);
    tri_json_key(w, key);
    if (tri_json_parse(tri_str_of(equals + 1), arena, &value, NULL)) {
        if (looks_like_json(equals + 1)) {
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "--set %s is no JSON: true, false, null, numbers, \"text\", [...] and {...} are",
                setting);
        }
        tri_json_string(w, tri_str_of(equals + 1));
    } else {
        tri_json_value(w, value);
    }
    return TRI_OK;
}

static tri_status put_tools(
    tri_json_writer *w, const char *path, tri_arena *arena, tri_error *err) {
    tri_str text;
    const tri_json *tools;
    TRI_TRY(tri_file_read(path, MAX_INPUT_BYTES, arena, &text, err));
    if (tri_json_parse(text, arena, &tools, err)) {
        tri_error_context(err, "%s", path);
        return err ? err->status : TRI_E_FORMAT;
    }
    tri_json_key(w, "tools");
    tri_json_value(w, tools);
    return TRI_OK;
}

/* The variables of the template: the object read, or the messages read, and what the flags say.
 * Flags come last: of equal keys the last counts. */
static tri_status make_inputs(
    const render_args *a, const tri_json *read, tri_arena *arena, tri_buf *out, tri_error *err) {
    tri_json_writer w;
    tri_json_writer_init(&w, out, 0);
    tri_json_begin_object(&w);
    if (tri_json_is(read, TRI_JSON_ARRAY)) {
        tri_json_key(&w, "messages");
        tri_json_value(&w, read);
    }
    for (int32_t i = 0; tri_json_is(read, TRI_JSON_OBJECT) && i < read->n; i++) {
        tri_json_key(&w, read->keys[i].ptr);
        tri_json_value(&w, &read->items[i]);
    }
    if (a->add_generation_prompt) {
        tri_json_key(&w, "add_generation_prompt");
        tri_json_bool(&w, true);
    }
    if (a->tools) TRI_TRY(put_tools(&w, a->tools, arena, err));
    for (int32_t i = 0; i < a->set.n; i++)
        TRI_TRY(put_setting(&w, a->set.items[i], arena, err));
    tri_json_end_object(&w);
    return tri_buf_status(out, err);
}

static tri_status read_inputs(
    const render_args *a, tri_arena *arena, tri_buf *out, tri_error *err) {
    tri_buf text = {0};
    const tri_json *read = NULL;
    tri_status rc = tri_read_stream(stdin, "standard input", MAX_INPUT_BYTES, &text, err);
    if (!rc && tri_json_parse((tri_str){text.ptr, text.len}, arena, &read, err)) {
        rc = TRI_E_FORMAT;
        tri_error_context(err, "standard input");
    }
    if (!rc) rc = make_inputs(a, read, arena, out, err);
    tri_buf_deinit(&text);
    return rc;
}

/* ---- output ---- */

static void put_ids(tri_json_writer *w, const int32_t *ids, int32_t n) {
    tri_json_begin_array(w);
    for (int32_t i = 0; i < n; i++)
        tri_json_i64(w, ids[i]);
    tri_json_end_array(w);
}

static void put_plain(tri_json_writer *w, const tri_chat_text *text) {
    tri_json_begin_array(w);
    for (int32_t i = 0; i < text->n_plain; i++) {
        tri_json_begin_array(w);
        tri_json_i64(w, (int64_t)text->plain[i].begin);
        tri_json_i64(w, (int64_t)text->plain[i].end);
        tri_json_end_array(w);
    }
    tri_json_end_array(w);
}

static tri_status print_json(
    const tri_chat_text *text, const int32_t *ids, int32_t n_ids, tri_error *err) {
    tri_buf out = {0};
    tri_json_writer w;
    tri_json_writer_init(&w, &out, 0);
    tri_json_begin_object(&w);
    tri_json_key(&w, "text");
    tri_json_string(&w, (tri_str){text->text, text->n});
    tri_json_key(&w, "plain");
    put_plain(&w, text);
    if (ids) {
        tri_json_key(&w, "ids");
        put_ids(&w, ids, n_ids);
    }
    tri_json_end_object(&w);
    tri_status rc = tri_buf_status(&out, err);
    if (!rc) puts(out.ptr);
    tri_buf_deinit(&out);
    return rc;
}

static tri_status encode(const render_args *a, const tri_chat_text *text, int32_t **ids,
    int32_t *n_ids, tri_error *err) {
    tri_tokenizer *tokenizer;
    TRI_TRY(tri_tokenizer_open(&tokenizer, a->model, err));
    tri_status rc = tri_chat_text_encode(text, tokenizer, ids, n_ids, err);
    tri_tokenizer_close(tokenizer);
    return rc;
}

static tri_status print_text(const render_args *a, const tri_chat_text *text, tri_error *err) {
    int32_t *ids = NULL, n_ids = 0;
    if (a->ids) TRI_TRY(encode(a, text, &ids, &n_ids, err));
    tri_status rc = TRI_OK;
    if (a->json) {
        rc = print_json(text, ids, n_ids, err);
    } else if (a->ids) {
        for (int32_t i = 0; i < n_ids; i++)
            printf("%s%d", i ? " " : "", ids[i]);
        printf("\n");
    } else {
        fwrite(text->text, 1, text->n, stdout);
    }
    tri_free(ids);
    return rc;
}

static tri_status render(const render_args *a, tri_error *err) {
    tri_chat_template *t;
    tri_chat_text text = {0};
    tri_arena arena;
    tri_buf inputs = {0};
    TRI_TRY(tri_chat_template_open(&t, a->model, a->name, err));
    tri_arena_init(&arena, 0);
    tri_status rc = TRI_OK;
    if (a->source) {
        size_t n;
        const char *source = tri_chat_template_source(t, &n);
        fwrite(source, 1, n, stdout);
    } else {
        rc = read_inputs(a, &arena, &inputs, err);
        if (!rc) rc = tri_chat_template_render(t, inputs.ptr, inputs.len, &text, err);
        if (!rc) rc = print_text(a, &text, err);
    }
    tri_chat_text_free(&text);
    tri_buf_deinit(&inputs);
    tri_arena_deinit(&arena);
    tri_chat_template_close(t);
    return rc;
}

int tri_cmd_render_template(int argc, char **argv) {
    render_args a = {0};
    const tri_option table[] = {
        {TRI_OPTION_SWITCH, "add_generation_prompt", &a.add_generation_prompt, NULL,
            "end with the beginning of the answer", 0, 0},
        {TRI_OPTION_STRING, "tools", &a.tools, "FILE", "a JSON array of tools, each an object", 0,
            0},
        {TRI_OPTION_LIST, "set", &a.set, "KEY=VALUE",
            "a variable of the template, in JSON (enable_thinking=false); may be given again", 0,
            0},
        {TRI_OPTION_STRING, "name", &a.name, "NAME",
            "which of several templates (default; tool_use where there are tools)", 0, 0},
        {TRI_OPTION_SWITCH, "ids", &a.ids, NULL, "token ids; messages never become special tokens",
            0, 0},
        {TRI_OPTION_SWITCH, "json", &a.json, NULL,
            "as JSON, with the byte ranges that came from the input (plain)", 0, 0},
        {TRI_OPTION_SWITCH, "source", &a.source, NULL, "the template itself; reads nothing", 0, 0},
    };
    const tri_usage usage = {.command = "trireme render-template",
        .summary = "Writes a conversation the way the model's chat template does.  Standard input "
                   "has the\nmessages as a JSON array, or an object with all the template's "
                   "variables.",
        .synopsis = "MODEL [options] < messages.json",
        .examples =
            "  echo '[{\"role\": \"user\", \"content\": \"Hello\"}]' |\n"
            "      trireme render-template model.gguf --add_generation_prompt\n"
            "  trireme render-template ./Qwen3-4B --tools tools.json --set enable_thinking=false "
            "< messages.json\n"
            "  trireme render-template ./Qwen3-4B --source\n",
        .options = table,
        .n_options = sizeof table / sizeof *table,
        .min_positionals = 1,
        .max_positionals = 1};
    int rc = tri_options_parse(&usage, argc, argv, &a.model, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    tri_error err = {0};
    return render(&a, &err) ? tri_report("render-template", &err) : 0;
}
