#include "text/normalize.h"

#include <string.h>

#include "text/charsmap.h"
#include "text/compose.h"
#include "text/spm.h"
#include "text/utf8.h"

enum { MIN_LIMIT_BYTES = 64 << 20, MAX_GROWTH = 64 }; /* of a text by its normalizers */

void tri_normalize_scratch_deinit(tri_normalize_scratch *scratch) {
    for (int i = 0; i < TRI_MAX_STEPS; i++)
        tri_regex_scan_free(scratch->scans[i]);
    tri_buf_deinit(&scratch->buffers[0]);
    tri_buf_deinit(&scratch->buffers[1]);
    *scratch = (tri_normalize_scratch){0};
}

/* ---- replacing ---- */

typedef struct replacing {
    tri_str text, content;
    tri_buf *out;
    size_t done, n_zero; /* of text */
    size_t n_zero_out;
} replacing;

static void put_match(replacing *r, size_t begin, size_t end) {
    if (r->done < r->n_zero) { /* text before the match that begins the whole */
        size_t n = begin < r->n_zero ? begin : r->n_zero;
        r->n_zero_out = r->out->len + n - r->done;
    }
    tri_buf_append(r->out, r->text.ptr + r->done, begin - r->done);
    tri_buf_append(r->out, r->content.ptr, r->content.len);
    if (r->n_zero && end <= r->n_zero) r->n_zero_out = r->out->len;
    r->done = end;
}

static void put_rest(replacing *r) {
    if (r->done < r->n_zero) r->n_zero_out = r->out->len + r->n_zero - r->done;
    tri_buf_append(r->out, r->text.ptr + r->done, r->text.len - r->done);
}

tri_status tri_pattern_replace(const tri_pattern *pattern, tri_regex_scan **scan, tri_str text,
    tri_str content, tri_buf *out, size_t *n_zero, tri_error *err) {
    replacing r = {.text = text, .content = content, .out = out, .n_zero = n_zero ? *n_zero : 0};
    if (text.len == 0) return TRI_OK;
    if (!pattern->regex) {
        tri_str what = pattern->literal;
        for (const char *at;
             (at = memmem(text.ptr + r.done, text.len - r.done, what.ptr, what.len)) != NULL;) {
            size_t begin = (size_t)(at - text.ptr);
            put_match(&r, begin, begin + what.len);
        }
    } else {
        if (!*scan) TRI_TRY(tri_regex_scan_create(scan, pattern->regex, err));
        TRI_TRY(tri_regex_scan_begin(*scan, text, err));
        size_t at = 0, begin, end;
        bool matched = false;
        while (tri_regex_scan_next(*scan, &at, &begin, &end)) {
            /* As Oniguruma's find_iter: no empty match where the last one ended. */
            if (begin == end && matched && end == r.done) continue;
            put_match(&r, begin, end);
            matched = true;
        }
    }
    put_rest(&r);
    if (n_zero) *n_zero = r.n_zero_out;
    return tri_buf_status(out, err);
}

/* ---- character by character ---- */

static bool nmt_drops(uint32_t c) {
    return (c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
           c == 0x9F;
}

static bool nmt_is_space(uint32_t c) {
    return c == 9 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
}

static bool is_chinese(uint32_t c) { /* BERT's idea of it; the gaps are Hugging Face's */
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool bert_drops(uint32_t c) {
    if (c == 0 || c == 0xFFFD) return true;
    if (c == '\t' || c == '\n' || c == '\r') return false;
    return tri_unicode_in(c, TRI_CATS(TRI_CC, TRI_CO));
}

static void put_character(
    tri_normalizer_kind kind, uint32_t c, const char *at, size_t n, tri_buf *out) {
    switch (kind) {
    case TRI_NORM_LOWERCASE:
        tri_lowercase(c, out);
        return;
    case TRI_NORM_STRIP_ACCENTS:
        if (!tri_unicode_in(c, TRI_CATS_MARK)) tri_buf_append(out, at, n);
        return;
    case TRI_NORM_NMT:
        if (nmt_is_space(c)) {
            tri_buf_putc(out, ' ');
        } else if (!nmt_drops(c)) {
            tri_buf_append(out, at, n);
        }
        return;
    default: /* TRI_NORM_BYTE_LEVEL */
        tri_byte_level_map((tri_str){at, n}, out);
        return;
    }
}

static void put_bert(
    const tri_normalizer *step, uint32_t c, const char *at, size_t n, tri_buf *out) {
    if (step->bert.clean_text) {
        if (bert_drops(c)) return;
        if (tri_unicode_is_space(c)) {
            tri_buf_putc(out, ' ');
            return;
        }
    }
    bool apart = step->bert.handle_chinese_chars && is_chinese(c);
    if (apart) tri_buf_putc(out, ' ');
    tri_buf_append(out, at, n);
    if (apart) tri_buf_putc(out, ' ');
}

/* *n_zero: how much of what was written comes from in's own n_zero bytes. */
static void each_character(
    const tri_normalizer *step, bool bert, tri_stretch in, tri_buf *out, size_t *n_zero) {
    for (size_t at = 0, n; at < in.text.len; at += n) {
        uint32_t c = tri_utf8_get(in.text.ptr + at, &n);
        if (bert) {
            put_bert(step, c, in.text.ptr + at, n, out);
        } else {
            put_character(step->kind, c, in.text.ptr + at, n, out);
        }
        if (at < in.n_zero) *n_zero = out->len;
    }
}

static bool lower_ascii_already(tri_str text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        if (c >= 0x80 || (c >= 'A' && c <= 'Z')) return false;
    }
    return true;
}

/* ---- steps ---- */

typedef struct step_run {
    const tri_normalizer *step;
    tri_regex_scan **scan;
    tri_stretch in;
    tri_buf *out;
    size_t n_zero;  /* of out */
    bool unchanged; /* in is the result; out is not used */
} step_run;

static void strip(step_run *r) {
    tri_str text = r->in.text;
    size_t begin = 0, end = text.len, n;
    while (
        r->step->left && begin < end && tri_unicode_is_space(tri_utf8_get(text.ptr + begin, &n))) {
        begin += n;
    }
    while (r->step->right && end > begin) {
        size_t before = tri_utf8_before(text.ptr, end);
        if (!tri_unicode_is_space(tri_utf8_get(text.ptr + before, &n))) break;
        end = before;
    }
    r->unchanged = true;
    r->in.text = (tri_str){text.ptr + begin, end - begin};
    r->in.n_zero = r->in.n_zero > begin ? r->in.n_zero - begin : 0;
}

static void prepend(step_run *r) {
    r->unchanged = r->in.text.len == 0;
    if (r->unchanged) return;
    tri_buf_append(r->out, r->step->content.ptr, r->step->content.len);
    tri_buf_append(r->out, r->in.text.ptr, r->in.text.len);
    r->n_zero = r->in.n_zero ? r->in.n_zero + r->step->content.len : 0;
}

static tri_status bert(const tri_normalizer *step, tri_str in, tri_buf *out, tri_error *err) {
    tri_buf other = {0};
    size_t n_zero = 0;
    each_character(step, true, (tri_stretch){in, 0}, out, &n_zero);
    tri_status rc = tri_buf_status(out, err);
    if (!rc && out->len && step->bert.strip_accents) {
        rc = tri_compose(TRI_NFD, (tri_str){out->ptr, out->len}, &other, err);
        tri_buf_clear(out);
        for (size_t at = 0, n; !rc && at < other.len; at += n) {
            uint32_t c = tri_utf8_get(other.ptr + at, &n);
            if (tri_unicode_category(c) != TRI_MN) tri_buf_append(out, other.ptr + at, n);
        }
    }
    if (!rc && step->bert.lowercase && out->len) {
        tri_buf_clear(&other);
        tri_buf_append(&other, out->ptr, out->len);
        tri_buf_clear(out);
        for (size_t at = 0, n; at < other.len; at += n)
            tri_lowercase(tri_utf8_get(other.ptr + at, &n), out);
        rc = tri_buf_status(&other, err);
    }
    if (!rc) rc = tri_buf_status(out, err);
    tri_buf_deinit(&other);
    return rc;
}

static tri_status precompiled(
    const tri_normalizer *step, tri_str in, tri_buf *out, tri_error *err) {
    if (step->by_grapheme) return tri_charsmap_normalize(step->charsmap, in, out, err);
    for (size_t at = 0; at < in.len;) {
        tri_str to, rest = {in.ptr + at, in.len - at};
        size_t n = tri_charsmap_longest(step->charsmap, rest, &to);
        if (!n) {
            n = tri_utf8_length((uint8_t)rest.ptr[0]);
            to = (tri_str){rest.ptr, n};
        }
        tri_buf_append(out, to.ptr, to.len);
        at += n;
    }
    return tri_buf_status(out, err);
}

static tri_status transform(const tri_normalizer *step, tri_str in, tri_buf *out, tri_error *err) {
    switch (step->kind) {
    case TRI_NORM_NFC:
        return tri_compose(TRI_NFC, in, out, err);
    case TRI_NORM_NFD:
        return tri_compose(TRI_NFD, in, out, err);
    case TRI_NORM_NFKC:
        return tri_compose(TRI_NFKC, in, out, err);
    case TRI_NORM_NFKD:
        return tri_compose(TRI_NFKD, in, out, err);
    case TRI_NORM_BERT:
        return bert(step, in, out, err);
    default:
        return precompiled(step, in, out, err);
    }
}

/* A text as a whole, where characters join others and become several.  What its beginning becomes
 * alone begins where the text does, and so does what later characters joined. */
static tri_status whole(step_run *r, tri_error *err) {
    TRI_TRY(transform(r->step, r->in.text, r->out, err));
    if (!r->in.n_zero || !r->out->len) return TRI_OK;
    tri_buf alone = {.limit_bytes = r->out->limit_bytes};
    tri_str beginning = {r->in.text.ptr, r->in.n_zero};
    size_t first = tri_utf8_length((uint8_t)r->out->ptr[0]);
    tri_status rc = transform(r->step, beginning, &alone, err);
    r->n_zero = alone.len;
    if (r->n_zero < first && r->step->kind != TRI_NORM_BERT) r->n_zero = first;
    tri_buf_deinit(&alone);
    return rc;
}

static tri_status compose(step_run *r, tri_normal_form form, tri_error *err) {
    r->unchanged = tri_is_normal(form, r->in.text);
    return r->unchanged ? TRI_OK : whole(r, err);
}

static tri_status replace(step_run *r, tri_error *err) {
    const tri_pattern *p = &r->step->pattern;
    if (!p->regex) {
        r->unchanged = !memmem(r->in.text.ptr, r->in.text.len, p->literal.ptr, p->literal.len);
        if (r->unchanged) return TRI_OK;
    }
    r->n_zero = r->in.n_zero;
    return tri_pattern_replace(p, r->scan, r->in.text, r->step->content, r->out, &r->n_zero, err);
}

static tri_status run_step(step_run *r, tri_error *err) {
    switch (r->step->kind) {
    case TRI_NORM_NFC:
        return compose(r, TRI_NFC, err);
    case TRI_NORM_NFD:
        return compose(r, TRI_NFD, err);
    case TRI_NORM_NFKC:
        return compose(r, TRI_NFKC, err);
    case TRI_NORM_NFKD:
        return compose(r, TRI_NFKD, err);
    case TRI_NORM_STRIP:
        strip(r);
        return TRI_OK;
    case TRI_NORM_PREPEND:
        prepend(r);
        return TRI_OK;
    case TRI_NORM_REPLACE:
        return replace(r, err);
    case TRI_NORM_PRECOMPILED:
    case TRI_NORM_BERT:
        return whole(r, err);
    case TRI_NORM_SENTENCEPIECE:
        r->n_zero = r->in.n_zero;
        return tri_spm_normalize(r->step->spm, r->in.text, r->out, err);
    case TRI_NORM_LOWERCASE:
        r->unchanged = lower_ascii_already(r->in.text);
        if (r->unchanged) return TRI_OK;
        break;
    case TRI_NORM_STRIP_ACCENTS:
        r->unchanged = tri_utf8_ascii(r->in.text.ptr, r->in.text.len) == r->in.text.len;
        if (r->unchanged) return TRI_OK;
        break;
    case TRI_NORM_NMT:
    case TRI_NORM_BYTE_LEVEL:
        break;
    }
    each_character(r->step, false, r->in, r->out, &r->n_zero);
    return TRI_OK;
}

tri_status tri_normalize(const tri_tokenizer *t, tri_normalize_scratch *scratch, tri_stretch in,
    tri_stretch *out, tri_error *err) {
    int next = 0;
    /* A chain of replacements could make gigabytes of a word. */
    size_t limit = MIN_LIMIT_BYTES + MAX_GROWTH * in.text.len;
    for (int32_t i = 0; i < t->n_normalizers && in.text.len; i++) {
        tri_buf *buffer = &scratch->buffers[next];
        step_run r = {&t->normalizers[i], &scratch->scans[i], in, buffer, 0, false};
        tri_buf_clear(buffer);
        buffer->limit_bytes = limit;
        TRI_TRY(run_step(&r, err));
        tri_status rc = tri_buf_status(buffer, err);
        if (rc) {
            tri_error_context(err, "normalizer %d", i);
            return rc;
        }
        if (r.unchanged) {
            in = r.in;
        } else {
            in = (tri_stretch){{buffer->ptr, buffer->len}, r.n_zero};
            next = !next;
        }
        if (in.n_zero > in.text.len) in.n_zero = in.text.len;
    }
    *out = in;
    return TRI_OK;
}
