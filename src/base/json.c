/* json.c - the pull parser and numbers (declared in json.h).
 *
 * The reader moves on only past what it accepted: after an error it stands before the offence, and
 * asking again gives the same error. */
#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

/* What may come next. */
enum {
    AT_VALUE,       /* a value: at the start, after a key, after a comma in an array */
    AT_FIRST_ITEM,  /* after '[': a value or ']' */
    AT_FIRST_KEY,   /* after '{': a key or '}' */
    AT_AFTER_VALUE, /* a comma, the container's end or the text's end */
};

void tri_json_reader_init(tri_json_reader *r, tri_str text) {
    *r = (tri_json_reader){.state = AT_VALUE};
    if (tri_str_starts(text, "\xEF\xBB\xBF")) { /* a byte order mark: RFC 8259 lets us skip it */
        text.ptr += 3;
        text.len -= 3;
    }
    r->text = r->at = text.len ? text.ptr : "";
    r->end = r->text + text.len;
}

/* Line and column (in characters), both from 1, of `at`. */
static tri_status fail_at(
    const tri_json_reader *r, const char *at, tri_error *err, const char *what) {
    int64_t line = 1, column = 1;
    for (const char *c = r->text; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xC0) != 0x80) {
            column++;
        }
    }
    if (at == r->end) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "JSON line %" PRId64 ", column %" PRId64 ": %s, but the text ends", line, column, what);
    }
    unsigned char c = (unsigned char)*at;
    if (c > 0x20 && c < 0x7F) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "JSON line %" PRId64 ", column %" PRId64 ": %s, not '%c'", line, column, what, c);
    }
    return TRI_FAIL(err, TRI_E_FORMAT,
        "JSON line %" PRId64 ", column %" PRId64 ": %s, not byte 0x%02X", line, column, what, c);
}

/* Length of the UTF-8 character at `at`, whose first byte is not ASCII; 0 when it is none.  Two
 * bytes, the most frequent length in tokenizers, are seen here. */
static int64_t character_bytes(const char *at, const char *end) {
    unsigned char first = (unsigned char)at[0];
    if (first >= 0xC2 && first <= 0xDF) {
        return end - at >= 2 && ((unsigned char)at[1] & 0xC0) == 0x80 ? 2 : 0;
    }
    utf8proc_int32_t codepoint;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)at, end - at, &codepoint);
    return n > 0 ? n : 0;
}

static const char *skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

/* The first byte of [at, end) that a string cannot hold as it is: a quote, a backslash, a control
 * character or one not ASCII; end when there is none.  Eight bytes at a time: in each term the
 * lowest byte marked (its top bit set) is one of those, so the lowest mark of all is the first. */
static const char *skip_plain(const char *at, const char *end) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lowest byte comes first");
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    for (; end - at >= 8; at += 8) {
        uint64_t bytes;
        memcpy(&bytes, at, 8);
        uint64_t quote = bytes ^ (ones * '"'), backslash = bytes ^ (ones * '\\');
        uint64_t marks = bytes | (bytes - ones * 0x20) | (quote - ones) | (backslash - ones);
        marks &= tops;
        if (marks) return at + __builtin_ctzll(marks) / 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\') {
        at++;
    }
    return at;
}

/* ---- strings ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The four hex digits at `at`, or -1. */
static int32_t hex4(const char *at, const char *end) {
    int32_t value = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Reads the string whose opening quote is at `at`; returns the place after its closing quote, NULL
 * after an error. */
static const char *scan_string(
    const tri_json_reader *r, const char *at, tri_json_event *event, tri_error *err) {
    const char *end = r->end, *start = ++at;
    bool escaped = false;
    for (;;) {
        at = skip_plain(at, end);
        if (at == end) {
            fail_at(r, at, err, "expected the string's closing quote");
            return NULL;
        }
        if (*at == '"') break;
        if (*at == '\\') {
            escaped = true;
            if (at + 1 == end || !strchr("\"\\/bfnrtu", at[1]) || at[1] == 0) {
                fail_at(r, at + 1, err, "expected an escape: one of \"\\/bfnrtu");
                return NULL;
            }
            if (at[1] == 'u' && hex4(at + 2, end) < 0) {
                fail_at(r, at, err, "expected \\u and four hex digits");
                return NULL;
            }
            at += at[1] == 'u' ? 6 : 2;
        } else if ((unsigned char)*at < 0x20) {
            fail_at(r, at, err, "control characters in strings must be escaped");
            return NULL;
        } else {
            int64_t n = character_bytes(at, end);
            if (n == 0) {
                fail_at(r, at, err, "expected UTF-8");
                return NULL;
            }
            at += n;
        }
    }
    event->escaped = escaped;
    event->raw = (tri_str){start, (size_t)(at - start)};
    return at + 1;
}

/* One \u escape, or a pair of them that make one character; *at is left after what was read. */
static int32_t unescape_unicode(const char **at, const char *end) {
    int32_t high = hex4(*at + 2, end), low;
    *at += 6;
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') return 0xFFFD;
    low = hex4(*at + 2, end);
    if (low < 0xDC00 || low > 0xDFFF) return 0xFFFD;
    *at += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* Every escape is at least as long as its UTF-8: two bytes for one, six for three, twelve for
 * four. */
size_t tri_json_unescape(tri_str raw, char *out) {
    static const char escapes[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const char *at = raw.ptr, *end = raw.ptr + raw.len;
    char *o = out;
    while (at < end) {
        const char *next = memchr(at, '\\', (size_t)(end - at));
        size_t n = (size_t)((next ? next : end) - at);
        memcpy(o, at, n);
        o += n;
        at += n;
        if (!next) break;
        if (at[1] == 'u') {
            o += utf8proc_encode_char(unescape_unicode(&at, end), (utf8proc_uint8_t *)o);
        } else {
            const char *escape = strchr(escapes, at[1]);
            *o++ = escape ? bytes[escape - escapes] : at[1];
            at += 2;
        }
    }
    return (size_t)(o - out);
}

/* ---- numbers ---- */

static const char *skip_digits(const char *at, const char *end) {
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static const char *skip_word(const char *at, const char *end, const char *word) {
    size_t n = strlen(word);
    return (size_t)(end - at) >= n && memcmp(at, word, n) == 0 ? at + n : NULL;
}

/* Returns the place after the number, NULL after an error. */
static const char *scan_number(const tri_json_reader *r, const char *at, tri_error *err) {
    const char *end = r->end, *after;
    if (at < end && *at == '-') at++;
    if (at < end && (after = skip_word(at, end, "Infinity"))) return after;
    after = skip_digits(at, end);
    if (after == at || (*at == '0' && after - at > 1)) {
        fail_at(r, after == at ? at : at + 1, err,
            after == at ? "expected a digit" : "a number must not begin with 0");
        return NULL;
    }
    at = after;
    if (at < end && *at == '.') {
        after = skip_digits(++at, end);
        if (after == at) {
            fail_at(r, at, err, "expected a digit after the point");
            return NULL;
        }
        at = after;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        after = skip_digits(at, end);
        if (after == at) {
            fail_at(r, at, err, "expected a digit in the exponent");
            return NULL;
        }
        at = after;
    }
    return at;
}

/* The exponent's digits as a number, cut at a billion either way. */
static int64_t exponent_of(const char *at, const char *end) {
    enum { MOST = 1000000000 };
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    int64_t value = 0;
    for (; at < end && value < MOST; at++)
        value = value * 10 + (*at - '0');
    if (value > MOST) value = MOST;
    return negative ? -value : value;
}

bool tri_json_number_i64(tri_str raw, int64_t *value) {
    if (tri_str_to_i64(raw, value)) return true;
    /* Digits make `mantissa`, without the zeros that end them; those go into the exponent. */
    int64_t mantissa = 0, exponent = 0, n_zeros = 0;
    bool negative = raw.len > 0 && raw.ptr[0] == '-', after_point = false;
    for (size_t i = negative; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '.') {
            after_point = true;
            continue;
        }
        if (c == 'e' || c == 'E') {
            exponent += exponent_of(raw.ptr + i + 1, raw.ptr + raw.len);
            break;
        }
        if (c < '0' || c > '9') return false; /* NaN, Infinity */
        exponent -= after_point;
        n_zeros++;
        if (c == '0') continue;
        for (; n_zeros > 0 && mantissa != 0; n_zeros--) {
            if (__builtin_mul_overflow(mantissa, (int64_t)10, &mantissa)) return false;
        }
        n_zeros = 0;
        int64_t digit = negative ? '0' - c : c - '0';
        if (__builtin_add_overflow(mantissa, digit, &mantissa)) return false;
    }
    exponent += n_zeros;
    if (mantissa != 0) {
        if (exponent < 0) return false;
        for (; exponent > 0; exponent--) {
            if (__builtin_mul_overflow(mantissa, (int64_t)10, &mantissa)) return false;
        }
    }
    *value = mantissa;
    return true;
}

double tri_json_number_f64(tri_str raw) {
    double value;
    if (tri_str_is(raw, "NaN")) return NAN;
    if (tri_str_to_f64(raw, &value)) return value;
    /* Past the range of doubles, as Python reads it, or Infinity itself. */
    return raw.len > 0 && raw.ptr[0] == '-' ? -INFINITY : INFINITY;
}

/* ---- events ---- */

static tri_status open_container(
    tri_json_reader *r, const char *at, tri_json_event *event, tri_error *err) {
    if (r->depth == TRI_JSON_MAX_DEPTH) {
        static_assert(TRI_JSON_MAX_DEPTH == 256, "as the message says");
        fail_at(r, at, err, "expected at most 256 levels of nesting");
        if (err) err->status = TRI_E_LIMIT;
        return TRI_E_LIMIT;
    }
    bool object = *at == '{';
    event->kind = object ? TRI_JSON_OBJECT : TRI_JSON_ARRAY;
    r->stack[r->depth++] = (uint8_t)*at;
    r->state = object ? AT_FIRST_KEY : AT_FIRST_ITEM;
    r->at = at + 1;
    return TRI_OK;
}

static tri_status close_container(tri_json_reader *r, const char *at, tri_json_event *event) {
    event->kind = *at == '}' ? TRI_JSON_END_OBJECT : TRI_JSON_END_ARRAY;
    r->depth--;
    r->state = AT_AFTER_VALUE;
    r->at = at + 1;
    return TRI_OK;
}

static tri_status read_value(
    tri_json_reader *r, const char *at, tri_json_event *event, tri_error *err) {
    static const struct {
        char text[9];
        tri_json_kind kind;
        bool boolean;
    } words[] = {{"true", TRI_JSON_BOOL, true}, {"false", TRI_JSON_BOOL, false},
        {"null", TRI_JSON_NULL, false}, {"NaN", TRI_JSON_NUMBER, false},
        {"Infinity", TRI_JSON_NUMBER, false}};
    const char *after = NULL;
    if (at == r->end) return fail_at(r, at, err, "expected a value");
    if (*at == '{' || *at == '[') return open_container(r, at, event, err);
    if (*at == '"') {
        event->kind = TRI_JSON_STRING;
        after = scan_string(r, at, event, err);
    } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
        event->kind = TRI_JSON_NUMBER;
        after = scan_number(r, at, err);
        if (after) event->raw = (tri_str){at, (size_t)(after - at)};
    } else {
        for (size_t i = 0; !after && i < sizeof words / sizeof *words; i++) {
            after = skip_word(at, r->end, words[i].text);
            event->kind = words[i].kind;
            event->boolean = words[i].boolean;
        }
        if (!after) return fail_at(r, at, err, "expected a value");
        event->raw = (tri_str){at, (size_t)(after - at)};
    }
    if (!after) return TRI_E_FORMAT;
    r->state = AT_AFTER_VALUE;
    r->at = after;
    return TRI_OK;
}

static tri_status read_key(
    tri_json_reader *r, const char *at, tri_json_event *event, tri_error *err) {
    if (at == r->end || *at != '"') return fail_at(r, at, err, "expected a key in quotes");
    at = scan_string(r, at, event, err);
    if (!at) return TRI_E_FORMAT;
    at = skip_space(at, r->end);
    if (at == r->end || *at != ':') return fail_at(r, at, err, "expected ':' after the key");
    event->kind = TRI_JSON_KEY;
    r->state = AT_VALUE;
    r->at = at + 1;
    return TRI_OK;
}

static tri_status read_after_value(
    tri_json_reader *r, const char *at, tri_json_event *event, tri_error *err) {
    if (r->depth == 0) {
        if (at < r->end) return fail_at(r, at, err, "expected the end of the text");
        event->kind = TRI_JSON_END;
        r->at = at;
        return TRI_OK;
    }
    bool object = r->stack[r->depth - 1] == '{';
    if (at < r->end && *at == (object ? '}' : ']')) return close_container(r, at, event);
    if (at == r->end || *at != ',') {
        return fail_at(r, at, err, object ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    at = skip_space(at + 1, r->end);
    return object ? read_key(r, at, event, err) : read_value(r, at, event, err);
}

tri_status tri_json_next(tri_json_reader *r, tri_json_event *event, tri_error *err) {
    tri_json_event e = {0};
    tri_status rc;
    const char *at = skip_space(r->at, r->end);
    bool closes = at < r->end && *at == (r->state == AT_FIRST_KEY ? '}' : ']');
    switch (r->state) {
    case AT_VALUE:
        rc = read_value(r, at, &e, err);
        break;
    case AT_FIRST_ITEM:
        rc = closes ? close_container(r, at, &e) : read_value(r, at, &e, err);
        break;
    case AT_FIRST_KEY:
        rc = closes ? close_container(r, at, &e) : read_key(r, at, &e, err);
        break;
    default:
        rc = read_after_value(r, at, &e, err);
        break;
    }
    if (!rc) *event = e;
    return rc;
}

tri_status tri_json_skip(tri_json_reader *r, tri_error *err) {
    int32_t depth = r->depth;
    tri_json_event event;
    do {
        TRI_TRY(tri_json_next(r, &event, err));
        if (event.kind == TRI_JSON_END || r->depth < depth) {
            return TRI_FAIL(err, TRI_E_ARGUMENT, "no JSON value to skip here");
        }
    } while (r->depth > depth);
    return TRI_OK;
}
