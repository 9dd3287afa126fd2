/* load_json_steps.c - the normalizer, pre_tokenizer and decoder of tokenizer.json. */
#include <string.h>

#include "text/charsmap.h"
#include "text/load_json.h"
#include "text/utf8.h"

tri_str tri_load_json_type(const tri_json *component) {
    const tri_json *type = tri_json_get(component, "type");
    return tri_json_is(type, TRI_JSON_STRING) ? type->text : TRI_STR("");
}

static tri_status unknown(const char *what, const tri_json *component, tri_error *err) {
    tri_str type = tri_load_json_type(component);
    return TRI_FAIL(err, TRI_E_UNSUPPORTED, "a %s of type '%.*s' is not known here", what,
        (int)(type.len < 60 ? type.len : 60), type.ptr);
}

tri_status tri_load_json_string(
    tri_tokenizer *t, const tri_json *object, const char *key, tri_str *value, tri_error *err) {
    const tri_json *v = tri_json_get(object, key);
    if (!v || v->kind == TRI_JSON_NULL) return TRI_OK;
    if (v->kind != TRI_JSON_STRING) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is not a string", key);
    }
    return tri_tokenizer_copy(t, v->text, value, err);
}

/* One character. */
static tri_status read_character(
    tri_tokenizer *t, const tri_json *object, const char *key, tri_str *value, tri_error *err) {
    TRI_TRY(tri_load_json_string(t, object, key, value, err));
    if (value->len == 0 || tri_utf8_n_codes(*value) != 1) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%s is not one character", key);
    }
    return TRI_OK;
}

static tri_status compile(tri_pattern *p, tri_str expression, tri_error *err) {
    tri_status rc = tri_regex_compile_as(&p->regex, expression, TRI_REGEX_RUBY, err);
    if (rc) {
        tri_error_context(err, "expression '%.*s'",
            (int)(expression.len < 200 ? expression.len : 200), expression.ptr);
    }
    return rc;
}

/* {"String": "x"} or {"Regex": "x"}. */
static tri_status read_pattern(
    tri_tokenizer *t, const tri_json *object, tri_pattern *p, tri_error *err) {
    const tri_json *pattern = tri_json_get(object, "pattern");
    const tri_json *regex = tri_json_get(pattern, "Regex");
    const tri_json *literal = tri_json_get(pattern, "String");
    if (tri_json_is(literal, TRI_JSON_STRING)) {
        if (literal->text.len == 0) return compile(p, TRI_STR(""), err);
        return tri_tokenizer_copy(t, literal->text, &p->literal, err);
    }
    if (tri_json_is(regex, TRI_JSON_STRING)) return compile(p, regex->text, err);
    return TRI_FAIL(err, TRI_E_FORMAT, "pattern is neither {\"String\": ..} nor {\"Regex\": ..}");
}

static tri_status read_behavior(
    const tri_json *object, tri_split_behavior *behavior, tri_error *err) {
    static const char *const names[] = {[TRI_SPLIT_ISOLATED] = "Isolated",
        [TRI_SPLIT_REMOVED] = "Removed",
        [TRI_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [TRI_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [TRI_SPLIT_CONTIGUOUS] = "Contiguous"};
    const char *name = "Isolated";
    TRI_TRY(tri_json_read_string(object, "behavior", &name, err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(name, names[i])) {
            *behavior = (tri_split_behavior)i;
            return TRI_OK;
        }
    }
    return TRI_FAIL(err, TRI_E_FORMAT, "behavior is '%.60s'", name);
}

/* prepend_scheme, or the older add_prefix_space. */
static tri_status read_prepend(
    const tri_json *object, tri_prepend_scheme *prepend, tri_error *err) {
    const char *name = "always";
    bool add_prefix_space = true;
    TRI_TRY(tri_json_read_string(object, "prepend_scheme", &name, err));
    TRI_TRY(tri_json_read_bool(object, "add_prefix_space", &add_prefix_space, err));
    if (!strcmp(name, "never") || !add_prefix_space) {
        *prepend = TRI_PREPEND_NEVER;
    } else if (!strcmp(name, "first")) {
        *prepend = TRI_PREPEND_FIRST;
    } else if (!strcmp(name, "always")) {
        *prepend = TRI_PREPEND_ALWAYS;
    } else {
        return TRI_FAIL(err, TRI_E_FORMAT, "prepend_scheme is '%.60s'", name);
    }
    return TRI_OK;
}

static tri_status check_room(const char *what, int32_t n, tri_error *err) {
    if (n < TRI_MAX_STEPS) return TRI_OK;
    return TRI_FAIL(err, TRI_E_LIMIT, "more than %d %ss", TRI_MAX_STEPS, what);
}

/* The parts of a Sequence, or NULL. */
static const tri_json *sequence_of(const tri_json *component, const char *key) {
    if (!tri_str_is(tri_load_json_type(component), "Sequence")) return NULL;
    const tri_json *list = tri_json_get(component, key);
    return tri_json_is(list, TRI_JSON_ARRAY) ? list : NULL;
}

typedef struct named_kind {
    const char *name;
    int kind;
} named_kind;

static bool find_kind(const named_kind *kinds, size_t n, const tri_json *component, int *kind) {
    tri_str type = tri_load_json_type(component);
    for (size_t i = 0; i < n; i++) {
        if (tri_str_is(type, kinds[i].name)) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

#define FIND_KIND(kinds, component, kind)                                                          \
    find_kind((kinds), sizeof(kinds) / sizeof *(kinds), (component), (kind))

/* ---- normalizers ---- */

/* False: not base64.  White space is passed over. */
static bool base64_decode(tri_str text, char *out, size_t *n) {
    uint32_t bits = 0;
    int n_bits = 0;
    *n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '+'             ? 62
                    : c == '/'             ? 63
                                           : -1;
        if (c == '=' || c == '\n' || c == '\r' || c == ' ') continue;
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[(*n)++] = (char)(bits >> n_bits & 0xFF);
        }
    }
    return true;
}

static tri_status read_charsmap(
    tri_tokenizer *t, const tri_json *value, tri_normalizer *step, tri_error *err) {
    const tri_json *map = tri_json_get(value, "precompiled_charsmap");
    tri_str text = tri_json_is(map, TRI_JSON_STRING) ? map->text : TRI_STR("");
    char *bytes = tri_arena_alloc(&t->arena, text.len + 1);
    size_t n;
    if (!bytes) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a charsmap");
    if (!base64_decode(text, bytes, &n)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "precompiled_charsmap is not base64");
    }
    step->by_grapheme = true;
    return tri_charsmap_open(&step->charsmap, (tri_str){bytes, n}, &t->arena, err);
}

static tri_status read_bert(const tri_json *value, tri_normalizer *step, tri_error *err) {
    step->bert.clean_text = step->bert.handle_chinese_chars = step->bert.lowercase = true;
    TRI_TRY(tri_json_read_bool(value, "clean_text", &step->bert.clean_text, err));
    TRI_TRY(
        tri_json_read_bool(value, "handle_chinese_chars", &step->bert.handle_chinese_chars, err));
    TRI_TRY(tri_json_read_bool(value, "lowercase", &step->bert.lowercase, err));
    step->bert.strip_accents = step->bert.lowercase; /* unless it says itself */
    return tri_json_read_bool(value, "strip_accents", &step->bert.strip_accents, err);
}

static tri_status load_normalizer(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    static const named_kind kinds[] = {{"NFC", TRI_NORM_NFC}, {"NFD", TRI_NORM_NFD},
        {"NFKC", TRI_NORM_NFKC}, {"NFKD", TRI_NORM_NFKD}, {"Lowercase", TRI_NORM_LOWERCASE},
        {"StripAccents", TRI_NORM_STRIP_ACCENTS}, {"Nmt", TRI_NORM_NMT},
        {"ByteLevel", TRI_NORM_BYTE_LEVEL}, {"Strip", TRI_NORM_STRIP},
        {"Replace", TRI_NORM_REPLACE}, {"Prepend", TRI_NORM_PREPEND},
        {"Precompiled", TRI_NORM_PRECOMPILED}, {"BertNormalizer", TRI_NORM_BERT}};
    const tri_json *list = sequence_of(value, "normalizers");
    for (int32_t i = 0; list && i < list->n; i++)
        TRI_TRY(load_normalizer(t, &list->items[i], err));
    if (list) return TRI_OK;
    int kind;
    if (!FIND_KIND(kinds, value, &kind)) return unknown("normalizer", value, err);
    TRI_TRY(check_room("normalizer", t->n_normalizers, err));
    tri_normalizer *step = &t->normalizers[t->n_normalizers++];
    step->kind = (tri_normalizer_kind)kind;
    switch (step->kind) {
    case TRI_NORM_STRIP:
        step->left = step->right = true;
        TRI_TRY(tri_json_read_bool(value, "strip_left", &step->left, err));
        return tri_json_read_bool(value, "strip_right", &step->right, err);
    case TRI_NORM_REPLACE:
        TRI_TRY(read_pattern(t, value, &step->pattern, err));
        return tri_load_json_string(t, value, "content", &step->content, err);
    case TRI_NORM_PREPEND:
        return tri_load_json_string(t, value, "prepend", &step->content, err);
    case TRI_NORM_PRECOMPILED:
        return read_charsmap(t, value, step, err);
    case TRI_NORM_BERT:
        return read_bert(value, step, err);
    default:
        return TRI_OK;
    }
}

tri_status tri_load_json_normalizer(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    tri_status rc = tri_json_is(value, TRI_JSON_OBJECT) ? load_normalizer(t, value, err) : TRI_OK;
    if (rc) tri_error_context(err, "normalizer");
    return rc;
}

/* ---- pre-tokenizers ---- */

static tri_status load_pre_tokenizer(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    static const named_kind kinds[] = {{"ByteLevel", TRI_PRE_BYTE_LEVEL}, {"Split", TRI_PRE_SPLIT},
        {"Metaspace", TRI_PRE_METASPACE}, {"Digits", TRI_PRE_DIGITS},
        {"Punctuation", TRI_PRE_PUNCTUATION}, {"Whitespace", TRI_PRE_WHITESPACE},
        {"WhitespaceSplit", TRI_PRE_WHITESPACE_SPLIT}, {"BertPreTokenizer", TRI_PRE_BERT},
        {"CharDelimiterSplit", TRI_PRE_DELIMITER}, {"UnicodeScripts", TRI_PRE_UNICODE_SCRIPTS},
        {"FixedLength", TRI_PRE_FIXED_LENGTH}};
    const tri_json *list = sequence_of(value, "pretokenizers");
    for (int32_t i = 0; list && i < list->n; i++)
        TRI_TRY(load_pre_tokenizer(t, &list->items[i], err));
    if (list) return TRI_OK;
    int kind;
    if (!FIND_KIND(kinds, value, &kind)) return unknown("pre_tokenizer", value, err);
    TRI_TRY(check_room("pre_tokenizer", t->n_pre_tokenizers, err));
    tri_pre_tokenizer *step = &t->pre_tokenizers[t->n_pre_tokenizers++];
    step->kind = (tri_pre_tokenizer_kind)kind;
    switch (step->kind) {
    case TRI_PRE_BYTE_LEVEL:
        step->add_prefix_space = step->use_regex = true;
        TRI_TRY(tri_json_read_bool(value, "add_prefix_space", &step->add_prefix_space, err));
        TRI_TRY(tri_json_read_bool(value, "use_regex", &step->use_regex, err));
        if (!step->use_regex) return TRI_OK;
        return tri_pattern_compile(&step->pattern, tri_str_of(tri_gpt2_expression), err);
    case TRI_PRE_SPLIT:
        TRI_TRY(read_pattern(t, value, &step->pattern, err));
        TRI_TRY(tri_json_read_bool(value, "invert", &step->invert, err));
        return read_behavior(value, &step->behavior, err);
    case TRI_PRE_METASPACE:
        step->split = true;
        TRI_TRY(read_character(t, value, "replacement", &step->content, err));
        TRI_TRY(tri_json_read_bool(value, "split", &step->split, err));
        return read_prepend(value, &step->prepend, err);
    case TRI_PRE_DIGITS:
        return tri_json_read_bool(value, "individual_digits", &step->individual, err);
    case TRI_PRE_PUNCTUATION:
        return read_behavior(value, &step->behavior, err);
    case TRI_PRE_DELIMITER:
        return read_character(t, value, "delimiter", &step->content, err);
    case TRI_PRE_FIXED_LENGTH:
        step->length = 5;
        return tri_json_read_i32(value, "length", 1, INT32_MAX, &step->length, err);
    default:
        return TRI_OK;
    }
}

tri_status tri_load_json_pre_tokenizer(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    tri_status rc =
        tri_json_is(value, TRI_JSON_OBJECT) ? load_pre_tokenizer(t, value, err) : TRI_OK;
    if (rc) tri_error_context(err, "pre_tokenizer");
    return rc;
}

/* ---- decoders ---- */

static tri_status load_decoder(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    static const named_kind kinds[] = {{"ByteLevel", TRI_DECODE_BYTE_LEVEL},
        {"Metaspace", TRI_DECODE_METASPACE}, {"WordPiece", TRI_DECODE_WORDPIECE},
        {"BPEDecoder", TRI_DECODE_BPE}, {"CTC", TRI_DECODE_CTC}, {"Replace", TRI_DECODE_REPLACE},
        {"ByteFallback", TRI_DECODE_BYTE_FALLBACK}, {"Fuse", TRI_DECODE_FUSE},
        {"Strip", TRI_DECODE_STRIP}};
    const tri_json *list = sequence_of(value, "decoders");
    for (int32_t i = 0; list && i < list->n; i++)
        TRI_TRY(load_decoder(t, &list->items[i], err));
    if (list) return TRI_OK;
    int kind;
    if (!FIND_KIND(kinds, value, &kind)) return unknown("decoder", value, err);
    TRI_TRY(check_room("decoder", t->n_decoders, err));
    tri_decode_step *step = &t->decoders[t->n_decoders++];
    step->kind = (tri_decode_kind)kind;
    switch (step->kind) {
    case TRI_DECODE_METASPACE:
        TRI_TRY(read_character(t, value, "replacement", &step->content, err));
        return read_prepend(value, &step->prepend, err);
    case TRI_DECODE_WORDPIECE:
        step->cleanup = true;
        step->content = TRI_STR("##");
        TRI_TRY(tri_load_json_string(t, value, "prefix", &step->content, err));
        return tri_json_read_bool(value, "cleanup", &step->cleanup, err);
    case TRI_DECODE_BPE:
        step->content = TRI_STR("</w>");
        return tri_load_json_string(t, value, "suffix", &step->content, err);
    case TRI_DECODE_CTC:
        step->cleanup = true;
        step->content = TRI_STR("<pad>");
        step->delimiter = TRI_STR("|");
        TRI_TRY(tri_load_json_string(t, value, "pad_token", &step->content, err));
        TRI_TRY(tri_load_json_string(t, value, "word_delimiter_token", &step->delimiter, err));
        return tri_json_read_bool(value, "cleanup", &step->cleanup, err);
    case TRI_DECODE_REPLACE:
        TRI_TRY(read_pattern(t, value, &step->pattern, err));
        return tri_load_json_string(t, value, "content", &step->content, err);
    case TRI_DECODE_STRIP:
        TRI_TRY(read_character(t, value, "content", &step->content, err));
        TRI_TRY(tri_json_read_i32(value, "start", 0, INT32_MAX, &step->start, err));
        return tri_json_read_i32(value, "stop", 0, INT32_MAX, &step->stop, err);
    default:
        return TRI_OK;
    }
}

tri_status tri_load_json_decoder(tri_tokenizer *t, const tri_json *value, tri_error *err) {
    tri_status rc = tri_json_is(value, TRI_JSON_OBJECT) ? load_decoder(t, value, err) : TRI_OK;
    if (rc) tri_error_context(err, "decoder");
    return rc;
}
