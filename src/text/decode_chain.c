#include "text/decode_chain.h"

#include <string.h>

#include "text/normalize.h"
#include "text/utf8.h"

/* What a step holds or makes of one token: a chain of replacements could make gigabytes of it. */
enum { MAX_STAGE_BYTES = 256 << 20 };

void tri_decode_chain_init(tri_decode_chain *c, const tri_tokenizer *t) {
    *c = (tri_decode_chain){.t = t, .n_stages = t->n_decoders ? t->n_decoders : 1};
    for (int32_t i = 0; i < TRI_MAX_STEPS; i++) {
        tri_decode_stage *s = &c->stages[i];
        s->step = i < t->n_decoders ? &t->decoders[i] : NULL;
        s->token.limit_bytes = s->other.limit_bytes = s->held.limit_bytes = MAX_STAGE_BYTES;
    }
}

void tri_decode_chain_deinit(tri_decode_chain *c) {
    for (int32_t i = 0; i < TRI_MAX_STEPS; i++) {
        tri_buf_deinit(&c->stages[i].token);
        tri_buf_deinit(&c->stages[i].other);
        tri_buf_deinit(&c->stages[i].held);
        tri_regex_scan_free(c->stages[i].scan);
    }
}

void tri_decode_chain_reset(tri_decode_chain *c) {
    c->spm = (tri_spm_decoder){0};
    for (int32_t i = 0; i < c->n_stages; i++) {
        tri_decode_stage *s = &c->stages[i];
        tri_buf_clear(&s->token);
        tri_buf_clear(&s->held);
        s->has_held = false;
        s->n_tokens = 0;
        s->n_partial = s->n_start = s->n_stop = 0;
    }
}

/* ---- bytes to characters ---- */

static const char replacement[] = "\xEF\xBF\xBD";

static bool may_go_on(const char *bytes, size_t n) { /* ill-formed, but more bytes could mend it */
    char four[4] = {0};
    uint32_t code;
    uint8_t lead = (uint8_t)bytes[0];
    if (lead < 0xC2 || lead > 0xF4 || n >= tri_utf8_length(lead)) return false;
    /* With the right bytes after it: E0 and F0 were followed by what they allow, if by anything. */
    memcpy(four, bytes, n);
    for (size_t i = n; i < 4; i++)
        four[i] = (char)(i == 1 && (lead == 0xE0 || lead == 0xF0) ? 0xA0 : 0x80);
    return tri_utf8_decode(four, 4, &code) == tri_utf8_length(lead) && code != TRI_UTF8_INVALID;
}

static void put_bytes(tri_decode_stage *s, tri_str bytes, tri_buf *out) {
    while (s->n_partial && bytes.len) {
        uint32_t code;
        s->partial[s->n_partial++] = *bytes.ptr++;
        bytes.len--;
        if (may_go_on(s->partial, (size_t)s->n_partial)) continue;
        size_t n = (size_t)s->n_partial, used = tri_utf8_decode(s->partial, n, &code);
        s->n_partial = 0;
        if (code != TRI_UTF8_INVALID) {
            tri_buf_append(out, s->partial, n);
        } else {
            /* The last byte is what broke it: it begins anew. */
            tri_buf_append(out, replacement, 3);
            if (used < n) {
                bytes.ptr--;
                bytes.len++;
            }
        }
    }
    while (bytes.len) {
        size_t n = tri_utf8_valid_prefix(bytes);
        tri_buf_append(out, bytes.ptr, n);
        bytes = (tri_str){bytes.ptr + n, bytes.len - n};
        if (!bytes.len) return;
        if (bytes.len < 4 && may_go_on(bytes.ptr, bytes.len)) {
            memcpy(s->partial, bytes.ptr, bytes.len);
            s->n_partial = (int32_t)bytes.len;
            return;
        }
        uint32_t code;
        size_t bad = tri_utf8_decode(bytes.ptr, bytes.len, &code);
        tri_buf_append(out, replacement, 3);
        bytes = (tri_str){bytes.ptr + bad, bytes.len - bad};
    }
}

static void end_bytes(tri_decode_stage *s, tri_buf *out) {
    if (s->n_partial) tri_buf_append(out, replacement, 3);
    s->n_partial = 0;
}

/* ---- one token ---- */

static tri_str view(const tri_buf *buffer) {
    return (tri_str){buffer->len ? buffer->ptr : "", buffer->len};
}

/* As Rust's str::replace: an empty `what` is found before each character and at the end. */
static void put_replaced(tri_str text, tri_str what, tri_str with, tri_buf *out) {
    const char *from = text.ptr, *end = from + text.len;
    if (what.len == 0) {
        while (from < end) {
            size_t n = tri_utf8_length((unsigned char)*from);
            tri_buf_append(out, with.ptr, with.len);
            tri_buf_append(out, from, n);
            from += n;
        }
        tri_buf_append(out, with.ptr, with.len);
        return;
    }
    for (const char *at; (at = memmem(from, (size_t)(end - from), what.ptr, what.len)) != NULL;
         from = at + what.len) {
        tri_buf_append(out, from, (size_t)(at - from));
        tri_buf_append(out, with.ptr, with.len);
    }
    tri_buf_append(out, from, (size_t)(end - from));
}

static void replace_in(tri_buf *text, tri_buf *spare, tri_str what, tri_str with) {
    tri_buf_clear(spare);
    put_replaced(view(text), what, with, spare);
    tri_buf swap = *text;
    *text = *spare;
    *spare = swap;
}

/* transformers' clean_up_tokenization, as WordPiece and CTC do it token by token. */
static void clean_up(tri_buf *text, tri_buf *spare) {
    static const char *const pairs[][2] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","},
        {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"},
        {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        replace_in(text, spare, tri_str_of(pairs[i][0]), tri_str_of(pairs[i][1]));
}

static bool byte_of(tri_str token, char *byte) { /* <0xE2>, as Rust's from_str_radix reads "E2" */
    int value = 0;
    if (token.len != 6 || memcmp(token.ptr, "<0x", 3) != 0 || token.ptr[5] != '>') return false;
    for (int i = 3; i < 5; i++) {
        char c = token.ptr[i];
        if (i == 3 && c == '+') continue; /* it takes a sign */
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0) return false;
        value = value * 16 + digit;
    }
    *byte = (char)value;
    return true;
}

/* ---- stages ---- */

static tri_status feed(tri_decode_chain *c, int32_t i, tri_str bytes, bool end);

/* A run of byte tokens as tokens: one when it is characters, else U+FFFD for each. */
static tri_status release_bytes(tri_decode_chain *c, int32_t i) {
    tri_decode_stage *s = &c->stages[i];
    if (!s->held.len) return TRI_OK;
    if (tri_utf8_valid_prefix(view(&s->held)) == s->held.len) {
        TRI_TRY(feed(c, i + 1, view(&s->held), true));
    } else {
        for (size_t k = 0; k < s->held.len; k++)
            TRI_TRY(feed(c, i + 1, TRI_STR("\xEF\xBF\xBD"), true));
    }
    tri_buf_clear(&s->held);
    return TRI_OK;
}

static tri_status byte_fallback(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    char byte;
    if (byte_of(token, &byte)) {
        tri_buf_putc(&s->held, byte);
        return tri_buf_status(&s->held, c->err);
    }
    TRI_TRY(release_bytes(c, i));
    return feed(c, i + 1, token, true);
}

static tri_status byte_level(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    size_t n = 0;
    tri_buf_clear(&s->other);
    tri_buf_clear(&s->held);
    char *raw = tri_buf_extend(&s->held, token.len + 1);
    TRI_TRY(tri_buf_status(&s->held, c->err));
    if (s->step->kind == TRI_DECODE_BYTE_LEVEL && tri_byte_level_undo(token, raw, &n)) {
        token = (tri_str){raw, n};
    }
    put_bytes(s, token, &s->other);
    TRI_TRY(tri_buf_status(&s->other, c->err));
    return s->other.len ? feed(c, i + 1, view(&s->other), false) : TRI_OK;
}

static tri_status metaspace(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    bool drop = s->n_tokens == 0 && s->step->prepend != TRI_PREPEND_NEVER;
    tri_buf_clear(&s->other);
    put_replaced(token, s->step->content, drop ? TRI_STR("") : TRI_STR(" "), &s->other);
    TRI_TRY(tri_buf_status(&s->other, c->err));
    return feed(c, i + 1, view(&s->other), true);
}

static tri_status wordpiece(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    tri_str prefix = s->step->content;
    tri_buf_clear(&s->other);
    if (s->n_tokens > 0) {
        if (token.len >= prefix.len && !memcmp(token.ptr, prefix.ptr, prefix.len)) {
            token = (tri_str){token.ptr + prefix.len, token.len - prefix.len};
        } else {
            tri_buf_putc(&s->other, ' ');
        }
    }
    tri_buf_append(&s->other, token.ptr, token.len);
    if (s->step->cleanup) clean_up(&s->other, &s->held);
    TRI_TRY(tri_buf_status(&s->other, c->err));
    return feed(c, i + 1, view(&s->other), true);
}

static tri_status ctc(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    if (s->has_held && tri_str_equal(view(&s->held), token)) return TRI_OK;
    tri_buf spare = {0};
    s->has_held = true;
    tri_buf_clear(&s->held);
    tri_buf_append(&s->held, token.ptr, token.len);
    tri_buf_clear(&s->other);
    put_replaced(token, s->step->content, TRI_STR(""), &s->other);
    if (s->step->cleanup) {
        clean_up(&s->other, &spare);
        replace_in(&s->other, &spare, s->step->delimiter, TRI_STR(" "));
    }
    tri_status rc = tri_buf_status(&s->other, c->err);
    if (!rc && s->other.len) rc = feed(c, i + 1, view(&s->other), true);
    tri_buf_deinit(&spare);
    return rc;
}

/* The suffix becomes a space but in the last token: the newest one waits. */
static tri_status release_bpe(tri_decode_chain *c, int32_t i, bool last) {
    tri_decode_stage *s = &c->stages[i];
    if (!s->has_held) return TRI_OK;
    tri_buf_clear(&s->other);
    put_replaced(view(&s->held), s->step->content, last ? TRI_STR("") : TRI_STR(" "), &s->other);
    TRI_TRY(tri_buf_status(&s->other, c->err));
    s->has_held = false;
    return feed(c, i + 1, view(&s->other), true);
}

static tri_status hold_bpe(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    TRI_TRY(release_bpe(c, i, false));
    tri_buf_clear(&s->held);
    tri_buf_append(&s->held, token.ptr, token.len);
    s->has_held = true;
    return tri_buf_status(&s->held, c->err);
}

static tri_status replace(tri_decode_chain *c, int32_t i, tri_str token) {
    tri_decode_stage *s = &c->stages[i];
    tri_buf_clear(&s->other);
    TRI_TRY(tri_pattern_replace(
        &s->step->pattern, &s->scan, token, s->step->content, &s->other, NULL, c->err));
    return feed(c, i + 1, view(&s->other), true);
}

static tri_status join(tri_decode_chain *c, int32_t i, tri_str token) {
    if (c->stages[i].n_tokens > 0) TRI_TRY(feed(c, i + 1, TRI_STR(" "), false));
    return feed(c, i + 1, token, true);
}

/* Parts go through as they come; only what may be the end of the token waits. */
static tri_status strip(tri_decode_chain *c, int32_t i, tri_str bytes, bool end) {
    tri_decode_stage *s = &c->stages[i];
    tri_str content = s->step->content;
    tri_buf_clear(&s->other);
    for (size_t at = 0, n; at < bytes.len; at += n) {
        n = tri_utf8_length((unsigned char)bytes.ptr[at]);
        bool is = n == content.len && !memcmp(bytes.ptr + at, content.ptr, n);
        if (is && s->n_start < s->step->start) {
            s->n_start++;
            continue;
        }
        if (is && s->n_stop < s->step->stop) {
            s->n_stop++;
            s->n_start = s->step->start;
            continue;
        }
        /* A further one pushes the oldest held out: they are all the same. */
        if (!is) {
            for (; s->n_stop > 0; s->n_stop--)
                tri_buf_append(&s->other, content.ptr, content.len);
        }
        s->n_start = s->step->start;
        tri_buf_append(&s->other, bytes.ptr + at, n);
    }
    if (end) s->n_start = s->n_stop = 0;
    TRI_TRY(tri_buf_status(&s->other, c->err));
    return s->other.len || end ? feed(c, i + 1, view(&s->other), end) : TRI_OK;
}

static tri_status whole_token(tri_decode_chain *c, int32_t i, tri_str token) {
    const tri_decode_step *step = c->stages[i].step;
    if (!step) return join(c, i, token);
    switch (step->kind) {
    case TRI_DECODE_BYTE_LEVEL:
    case TRI_DECODE_BYTES:
        return byte_level(c, i, token);
    case TRI_DECODE_METASPACE:
        return metaspace(c, i, token);
    case TRI_DECODE_WORDPIECE:
        return wordpiece(c, i, token);
    case TRI_DECODE_BPE:
        return hold_bpe(c, i, token);
    case TRI_DECODE_CTC:
        return ctc(c, i, token);
    case TRI_DECODE_REPLACE:
        return replace(c, i, token);
    case TRI_DECODE_BYTE_FALLBACK:
        return byte_fallback(c, i, token);
    case TRI_DECODE_FUSE:
    case TRI_DECODE_STRIP:
    case TRI_DECODE_SENTENCEPIECE:
        break;
    }
    return TRI_OK;
}

static tri_status feed(tri_decode_chain *c, int32_t i, tri_str bytes, bool end) {
    if (i == c->n_stages) {
        tri_buf_append(c->out, bytes.ptr, bytes.len);
        return tri_buf_status(c->out, c->err);
    }
    tri_decode_stage *s = &c->stages[i];
    if (s->step && s->step->kind == TRI_DECODE_FUSE) {
        return bytes.len ? feed(c, i + 1, bytes, false) : TRI_OK;
    }
    if (s->step && s->step->kind == TRI_DECODE_STRIP) return strip(c, i, bytes, end);
    if (!end || s->token.len) {
        tri_buf_append(&s->token, bytes.ptr, bytes.len);
        TRI_TRY(tri_buf_status(&s->token, c->err));
        if (!end) return TRI_OK;
        bytes = view(&s->token);
    }
    TRI_TRY(whole_token(c, i, bytes));
    tri_buf_clear(&s->token);
    s->n_tokens++;
    return TRI_OK;
}

static tri_status finish(tri_decode_chain *c, int32_t i) {
    tri_decode_stage *s = &c->stages[i];
    if (i == c->n_stages) return TRI_OK;
    tri_decode_kind kind = s->step ? s->step->kind : TRI_DECODE_REPLACE;
    switch (kind) {
    case TRI_DECODE_BYTE_LEVEL:
    case TRI_DECODE_BYTES:
        tri_buf_clear(&s->other);
        end_bytes(s, &s->other);
        TRI_TRY(tri_buf_status(&s->other, c->err));
        TRI_TRY(feed(c, i + 1, view(&s->other), true));
        break;
    case TRI_DECODE_FUSE:
        TRI_TRY(feed(c, i + 1, TRI_STR(""), true));
        break;
    case TRI_DECODE_BYTE_FALLBACK:
        TRI_TRY(release_bytes(c, i));
        break;
    case TRI_DECODE_BPE:
        TRI_TRY(release_bpe(c, i, true));
        break;
    default:
        break;
    }
    return finish(c, i + 1);
}

static const tri_decode_step *sentencepiece_of(const tri_tokenizer *t) {
    const tri_decode_step *step = &t->decoders[0];
    return t->n_decoders && step->kind == TRI_DECODE_SENTENCEPIECE ? step : NULL;
}

tri_status tri_decode_chain_add(tri_decode_chain *c, int32_t id, tri_buf *out, tri_error *err) {
    c->out = out;
    c->err = err;
    if (c->t->decoded) {
        put_bytes(&c->stages[0], c->t->decoded[id], out);
        return tri_buf_status(out, err);
    }
    const tri_decode_step *spm = sentencepiece_of(c->t);
    if (spm) {
        tri_spm_decode(&c->spm, spm->spm, id, out);
        return tri_buf_status(out, err);
    }
    return feed(c, 0, c->t->tokens[id], true);
}

tri_status tri_decode_chain_finish(tri_decode_chain *c, tri_buf *out, tri_error *err) {
    c->out = out;
    c->err = err;
    if (c->t->decoded) {
        end_bytes(&c->stages[0], out);
        return tri_buf_status(out, err);
    }
    if (sentencepiece_of(c->t)) {
        tri_spm_decode_finish(&c->spm, out);
        return tri_buf_status(out, err);
    }
    return finish(c, 0);
}
