#include "text/pretokenize.h"

#include <string.h>

#include "text/utf8.h"

typedef struct run {
    const tri_tokenizer *t;
    tri_pretokenize_scratch *scratch;
    tri_word_fn fn;
    void *user;
    tri_error *err;
} run;

void tri_pretokenize_scratch_deinit(tri_pretokenize_scratch *scratch) {
    for (int i = 0; i < TRI_MAX_STEPS; i++) {
        tri_regex_scan_free(scratch->scans[i]);
        tri_buf_deinit(&scratch->buffers[i]);
        tri_buf_deinit(&scratch->mapped[i]);
    }
    *scratch = (tri_pretokenize_scratch){0};
}

static tri_status step(run *r, int32_t i, tri_stretch in);

/* Bytes [begin, end) of a piece of step i go on to the next step. */
static tri_status pass(run *r, int32_t i, tri_stretch of, size_t begin, size_t end) {
    if (begin >= end) return TRI_OK;
    size_t n_zero = of.n_zero > begin ? of.n_zero - begin : 0;
    if (n_zero > end - begin) n_zero = end - begin;
    return step(r, i + 1, (tri_stretch){{of.text.ptr + begin, end - begin}, n_zero});
}

/* ---- what becomes of matches and of what is between them ---- */

typedef struct cutter {
    run *r;
    int32_t i; /* step */
    tri_stretch of;
    tri_split_behavior behavior;
    bool invert;
    bool previous_match, has_held;
    size_t held_begin, held_end; /* a piece that the next one may still be joined to */
} cutter;

static tri_status release(cutter *c) {
    if (!c->has_held) return TRI_OK;
    c->has_held = false;
    return pass(c->r, c->i, c->of, c->held_begin, c->held_end);
}

static tri_status hold(cutter *c, size_t begin, size_t end) {
    TRI_TRY(release(c));
    c->has_held = true;
    c->held_begin = begin;
    c->held_end = end;
    return TRI_OK;
}

/* As NormalizedString::split of Hugging Face's normalizer.rs; empty matches count. */
static tri_status cut(cutter *c, size_t begin, size_t end, bool match) {
    match ^= c->invert;
    switch (c->behavior) {
    case TRI_SPLIT_ISOLATED:
        return pass(c->r, c->i, c->of, begin, end);
    case TRI_SPLIT_REMOVED:
        return match ? TRI_OK : pass(c->r, c->i, c->of, begin, end);
    case TRI_SPLIT_CONTIGUOUS:
        if (match == c->previous_match && c->has_held) {
            c->held_end = end;
        } else {
            TRI_TRY(hold(c, begin, end));
        }
        break;
    case TRI_SPLIT_MERGED_WITH_PREVIOUS:
        if (match && !c->previous_match && c->has_held) {
            c->held_end = end;
        } else {
            TRI_TRY(hold(c, begin, end));
        }
        break;
    case TRI_SPLIT_MERGED_WITH_NEXT:
        if (!match && c->previous_match && c->has_held) {
            c->held_end = end;
            TRI_TRY(release(c));
        } else if (match) {
            TRI_TRY(hold(c, begin, end));
        } else {
            TRI_TRY(release(c));
            TRI_TRY(pass(c->r, c->i, c->of, begin, end));
        }
        break;
    }
    c->previous_match = match;
    return TRI_OK;
}

/* ---- matching ---- */

typedef bool (*character_test)(uint32_t c, const tri_pre_tokenizer *p);

static tri_status by_character(cutter *c, const tri_pre_tokenizer *p, character_test test) {
    tri_str text = c->of.text;
    size_t done = 0;
    for (size_t at = 0, n; at < text.len; at += n) {
        if (!test(tri_utf8_get(text.ptr + at, &n), p)) continue;
        if (done < at) TRI_TRY(cut(c, done, at, false));
        TRI_TRY(cut(c, at, at + n, true));
        done = at + n;
    }
    if (done < text.len) TRI_TRY(cut(c, done, text.len, false));
    return release(c);
}

static tri_status by_literal(cutter *c, tri_str what) {
    tri_str text = c->of.text;
    size_t done = 0;
    while (what.len && done < text.len) {
        const char *found = memmem(text.ptr + done, text.len - done, what.ptr, what.len);
        if (!found) break;
        size_t at = (size_t)(found - text.ptr);
        if (done < at) TRI_TRY(cut(c, done, at, false));
        TRI_TRY(cut(c, at, at + what.len, true));
        done = at + what.len;
    }
    if (done < text.len) TRI_TRY(cut(c, done, text.len, false));
    return release(c);
}

static tri_status scan_of(run *r, int32_t i, tri_regex_scan **scan) {
    tri_regex_scan **mine = &r->scratch->scans[i];
    if (!*mine) {
        TRI_TRY(tri_regex_scan_create(mine, r->t->pre_tokenizers[i].pattern.regex, r->err));
    }
    *scan = *mine;
    return TRI_OK;
}

static tri_status by_regex(cutter *c, size_t from, const tri_part *part, void *user) {
    tri_str text = {c->of.text.ptr + from, c->of.text.len - from};
    tri_regex_scan *scan;
    TRI_TRY(scan_of(c->r, c->i, &scan));
    TRI_TRY(tri_regex_scan_begin(scan, text, c->r->err));
    size_t at = 0, begin, end, done = 0;
    bool matched = false;
    while (tri_regex_scan_next(scan, &at, &begin, &end)) {
        /* As Oniguruma's find_iter: no empty match where the last one ended. */
        if (begin == end && matched && end == done) continue;
        if (done < begin) TRI_TRY(cut(c, from + done, from + begin, false));
        TRI_TRY(cut(c, from + begin, from + end, true));
        done = end;
        matched = true;
        if (part && part->at_end(user, from + done)) return TRI_OK;
    }
    if (done < text.len) TRI_TRY(cut(c, from + done, from + text.len, false));
    return release(c);
}

static bool is_space(uint32_t c, const tri_pre_tokenizer *p) {
    (void)p;
    return tri_unicode_is_space(c);
}

static bool is_number(uint32_t c, const tri_pre_tokenizer *p) {
    (void)p;
    return c < 0x80 ? c - '0' < 10 : tri_unicode_in(c, TRI_CATS_NUMBER);
}

static bool is_punctuation(uint32_t c, const tri_pre_tokenizer *p) {
    (void)p;
    if (c < 0x80) {
        return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
               (c >= 0x7B && c <= 0x7E);
    }
    return tri_unicode_in(c, TRI_CATS_PUNCTUATION);
}

/* ---- steps that are more than a pattern ---- */

/* \w+|[^\w\s]+, the rest removed. */
static tri_status whitespace(run *r, int32_t i, tri_stretch in) {
    enum { SPACE, WORD, OTHER } kind = SPACE, now;
    size_t begin = 0, at = 0;
    for (size_t n; at < in.text.len; at += n) {
        uint32_t c = tri_utf8_get(in.text.ptr + at, &n);
        now = tri_unicode_is_word(c) ? WORD : tri_unicode_is_space(c) ? SPACE : OTHER;
        if (now == kind) continue;
        if (kind != SPACE) TRI_TRY(pass(r, i, in, begin, at));
        kind = now;
        begin = at;
    }
    return kind == SPACE ? TRI_OK : pass(r, i, in, begin, at);
}

/* White space removed, punctuation isolated. */
static tri_status bert(run *r, int32_t i, tri_stretch in) {
    size_t begin = 0, at = 0;
    for (size_t n; at < in.text.len; at += n) {
        uint32_t c = tri_utf8_get(in.text.ptr + at, &n);
        bool space = tri_unicode_is_space(c);
        if (!space && !is_punctuation(c, NULL)) continue;
        TRI_TRY(pass(r, i, in, begin, at));
        if (!space) TRI_TRY(pass(r, i, in, at, at + n));
        begin = at + n;
    }
    return pass(r, i, in, begin, at);
}

/* -1: any.  Kana goes with Han, as in SentencePiece's unicode_script. */
static int32_t script_of(uint32_t c, int32_t han, int32_t hiragana, int32_t katakana) {
    if (c == 0x30FC) return han;
    if (c == ' ') return -1;
    int32_t script = tri_unicode_script(c);
    if (script == TRI_SCRIPT_UNKNOWN) return -1;
    return script == hiragana || script == katakana ? han : script;
}

/* What comes before the first character of a script is lost, as in Hugging Face's. */
static tri_status unicode_scripts(run *r, int32_t i, tri_stretch in) {
    int32_t han = tri_unicode_script_find(TRI_STR("Han"));
    int32_t hiragana = tri_unicode_script_find(TRI_STR("Hiragana"));
    int32_t katakana = tri_unicode_script_find(TRI_STR("Katakana"));
    int32_t last = -1;
    size_t begin = 0;
    for (size_t at = 0, n; at < in.text.len; at += n) {
        int32_t script = script_of(tri_utf8_get(in.text.ptr + at, &n), han, hiragana, katakana);
        if (script < 0 || script == last) continue;
        if (last >= 0) TRI_TRY(pass(r, i, in, begin, at));
        begin = at;
        last = script;
    }
    return last < 0 ? TRI_OK : pass(r, i, in, begin, in.text.len);
}

static tri_status fixed_length(run *r, int32_t i, tri_stretch in, int32_t length) {
    size_t begin = 0;
    int32_t n_chars = 0;
    for (size_t at = 0; at < in.text.len;) {
        at += tri_utf8_length((unsigned char)in.text.ptr[at]);
        if (++n_chars < length) continue;
        TRI_TRY(pass(r, i, in, begin, at));
        begin = at;
        n_chars = 0;
    }
    return pass(r, i, in, begin, in.text.len);
}

static bool starts_with(tri_str text, tri_str what) {
    return text.len >= what.len && !memcmp(text.ptr, what.ptr, what.len);
}

/* ---- what a step does to the text before it cuts it ---- */

static tri_status with_front(
    tri_buf *buffer, tri_stretch in, tri_str front, tri_stretch *out, tri_error *err) {
    tri_buf_clear(buffer);
    tri_buf_append(buffer, front.ptr, front.len);
    tri_buf_append(buffer, in.text.ptr, in.text.len);
    *out = (tri_stretch){{buffer->ptr, buffer->len}, in.n_zero ? in.n_zero + front.len : 0};
    return tri_buf_status(buffer, err);
}

static tri_status metaspace_text(
    run *r, const tri_pre_tokenizer *p, tri_buf *buffer, tri_stretch in, tri_stretch *out) {
    size_t n_zero = in.n_zero;
    tri_buf_clear(buffer);
    bool starts = starts_with(in.text, p->content) || in.text.ptr[0] == ' ';
    if (!starts &&
        (p->prepend == TRI_PREPEND_ALWAYS || (p->prepend == TRI_PREPEND_FIRST && in.n_zero > 0))) {
        tri_buf_append(buffer, p->content.ptr, p->content.len);
        if (n_zero) n_zero += p->content.len;
    } else if (in.text.ptr[0] == ' ' && n_zero) {
        n_zero = p->content.len;
    }
    const char *from = in.text.ptr, *end = from + in.text.len;
    for (const char *at; (at = memchr(from, ' ', (size_t)(end - from))) != NULL; from = at + 1) {
        tri_buf_append(buffer, from, (size_t)(at - from));
        tri_buf_append(buffer, p->content.ptr, p->content.len);
    }
    tri_buf_append(buffer, from, (size_t)(end - from));
    *out = (tri_stretch){{buffer->ptr, buffer->len}, n_zero};
    return tri_buf_status(buffer, r->err);
}

static tri_status prepare(run *r, int32_t i, tri_stretch in, tri_stretch *out) {
    const tri_pre_tokenizer *p = &r->t->pre_tokenizers[i];
    tri_buf *buffer = &r->scratch->buffers[i];
    if (p->kind == TRI_PRE_METASPACE) return metaspace_text(r, p, buffer, in, out);
    if (p->kind == TRI_PRE_BYTE_LEVEL && p->add_prefix_space && in.text.ptr[0] != ' ') {
        return with_front(buffer, in, TRI_STR(" "), out, r->err);
    }
    *out = in;
    return TRI_OK;
}

/* Every replacement character begins a piece. */
static tri_status metaspace_cut(
    cutter *c, const tri_pre_tokenizer *p, size_t from, const tri_part *part, void *user) {
    tri_str text = c->of.text;
    for (size_t begin = from; begin < text.len;) {
        size_t skip =
            begin + (starts_with((tri_str){text.ptr + begin, text.len - begin}, p->content)
                            ? p->content.len
                            : 0);
        const char *found =
            memmem(text.ptr + skip, text.len - skip, p->content.ptr, p->content.len);
        size_t end = found ? (size_t)(found - text.ptr) : text.len;
        TRI_TRY(pass(c->r, c->i, c->of, begin, end));
        begin = end;
        if (part && part->at_end(user, end)) return TRI_OK;
    }
    return TRI_OK;
}

/* ---- ByteLevel that maps ---- */

static tri_status map_piece(run *r, int32_t i, tri_stretch in) {
    tri_buf *mapped = &r->scratch->mapped[i]; /* `in` may lie in the step's own buffer */
    tri_buf_clear(mapped);
    tri_byte_level_map((tri_str){in.text.ptr, in.n_zero}, mapped);
    size_t n_zero = mapped->len;
    tri_byte_level_map((tri_str){in.text.ptr + in.n_zero, in.text.len - in.n_zero}, mapped);
    TRI_TRY(tri_buf_status(mapped, r->err));
    return step(r, i + 1, (tri_stretch){{mapped->ptr, mapped->len}, n_zero});
}

/* Its cutting ends here: step i is done, mapped or not. */
static tri_status byte_level_mapped(run *r, int32_t i, tri_stretch in) {
    const tri_pre_tokenizer *p = &r->t->pre_tokenizers[i];
    if (!p->use_regex) return map_piece(r, i, in);
    tri_regex_scan *scan;
    TRI_TRY(scan_of(r, i, &scan));
    TRI_TRY(tri_regex_scan_begin(scan, in.text, r->err));
    /* GPT-2's expression matches every character: pieces are its matches. */
    size_t at = 0, begin, end;
    while (tri_regex_scan_next(scan, &at, &begin, &end)) {
        size_t n_zero = in.n_zero > begin ? in.n_zero - begin : 0;
        if (n_zero > end - begin) n_zero = end - begin;
        TRI_TRY(map_piece(r, i, (tri_stretch){{in.text.ptr + begin, end - begin}, n_zero}));
    }
    return TRI_OK;
}

/* ---- the chain ---- */

static tri_status cut_prepared(run *r, int32_t i, tri_stretch in, const tri_part *part) {
    const tri_pre_tokenizer *p = &r->t->pre_tokenizers[i];
    cutter c = {.r = r, .i = i, .of = in};
    size_t from = part ? part->from : 0;
    switch (p->kind) {
    case TRI_PRE_BYTE_LEVEL:
        if (!r->t->raw_bytes) return byte_level_mapped(r, i, in);
        if (p->use_regex) return by_regex(&c, from, part, r->user);
        return pass(r, i, in, 0, in.text.len);
    case TRI_PRE_SPLIT:
        c.behavior = p->behavior;
        c.invert = p->invert;
        if (p->pattern.regex) return by_regex(&c, from, part, r->user);
        return by_literal(&c, p->pattern.literal);
    case TRI_PRE_METASPACE:
        if (p->split) return metaspace_cut(&c, p, from, part, r->user);
        return pass(r, i, in, 0, in.text.len);
    case TRI_PRE_DIGITS:
        c.behavior = p->individual ? TRI_SPLIT_ISOLATED : TRI_SPLIT_CONTIGUOUS;
        return by_character(&c, p, is_number);
    case TRI_PRE_PUNCTUATION:
        c.behavior = p->behavior;
        return by_character(&c, p, is_punctuation);
    case TRI_PRE_WHITESPACE:
        return whitespace(r, i, in);
    case TRI_PRE_WHITESPACE_SPLIT:
        c.behavior = TRI_SPLIT_REMOVED;
        return by_character(&c, p, is_space);
    case TRI_PRE_BERT:
        return bert(r, i, in);
    case TRI_PRE_DELIMITER:
        c.behavior = TRI_SPLIT_REMOVED;
        return by_literal(&c, p->content);
    case TRI_PRE_UNICODE_SCRIPTS:
        return unicode_scripts(r, i, in);
    case TRI_PRE_FIXED_LENGTH:
        return fixed_length(r, i, in, p->length);
    }
    return TRI_OK;
}

static tri_status step(run *r, int32_t i, tri_stretch in) {
    if (i == r->t->n_pre_tokenizers) return r->fn(r->user, in.text, r->err);
    TRI_TRY(prepare(r, i, in, &in));
    return cut_prepared(r, i, in, NULL);
}

tri_status tri_pretokenize(const tri_tokenizer *t, tri_pretokenize_scratch *scratch,
    tri_stretch stretch, tri_word_fn fn, void *user, tri_error *err) {
    run r = {t, scratch, fn, user, err};
    return stretch.text.len ? step(&r, 0, stretch) : TRI_OK;
}

bool tri_pretokenize_has_parts(const tri_tokenizer *t) {
    if (t->n_pre_tokenizers == 0) return false;
    const tri_pre_tokenizer *p = &t->pre_tokenizers[0];
    switch (p->kind) {
    case TRI_PRE_BYTE_LEVEL:
        return t->raw_bytes && p->use_regex;
    case TRI_PRE_SPLIT:
        return p->pattern.regex &&
               (p->behavior == TRI_SPLIT_ISOLATED || p->behavior == TRI_SPLIT_REMOVED);
    case TRI_PRE_METASPACE:
        return p->split;
    default:
        return false;
    }
}

tri_status tri_pretokenize_prepare(const tri_tokenizer *t, tri_pretokenize_scratch *scratch,
    tri_stretch in, tri_stretch *out, tri_error *err) {
    run r = {.t = t, .scratch = scratch, .err = err};
    return prepare(&r, 0, in, out);
}

tri_status tri_pretokenize_part(const tri_tokenizer *t, tri_pretokenize_scratch *scratch,
    const tri_part *part, tri_word_fn fn, void *user, tri_error *err) {
    run r = {t, scratch, fn, user, err};
    return cut_prepared(&r, 0, part->stretch, part);
}
