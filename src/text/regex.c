#include "text/regex.h"

#include <stdlib.h>
#include <string.h>

#include "text/regex_dfa.h"
#include "text/regex_failures.h"
#include "text/regex_parse.h"

enum {
    MAX_COMPILE_BYTES = 64 << 20,
    FAST_BYTES = 256 /* that an attempt reads past its last match before it minds failures */
};

struct tri_regex {
    tri_arena arena;
    tri_symbols symbols;
    tri_program program;
    tri_program looks[TRI_REGEX_MAX_LOOKS];
    int32_t n_looks;
};

/* ---- compile ---- */

static tri_status compile(tri_regex *r, tri_str pattern, tri_regex_syntax syntax, tri_error *err) {
    tri_ast *ast = TRI_NEW(&r->arena, tri_ast);
    if (!ast) return TRI_FAIL(err, TRI_E_MEMORY, "no memory");
    ast->arena = &r->arena;
    ast->err = err;
    TRI_TRY(tri_regex_parse(ast, pattern, syntax));
    TRI_TRY(tri_symbols_build(&r->symbols, ast));
    TRI_TRY(tri_program_build(&r->program, ast, &r->symbols, ast->root, false, false));
    for (int32_t i = 0; i < ast->n_looks; i++)
        TRI_TRY(tri_program_build(
            &r->looks[i], ast, &r->symbols, ast->looks[i].node, !ast->looks[i].behind, true));
    r->n_looks = ast->n_looks;
    return TRI_OK;
}

tri_status tri_regex_compile_as(
    tri_regex **regex, tri_str pattern, tri_regex_syntax syntax, tri_error *err) {
    tri_regex *r = calloc(1, sizeof *r);
    if (!r) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a regular expression");
    tri_arena_init(&r->arena, MAX_COMPILE_BYTES);
    tri_status rc = compile(r, pattern, syntax, err);
    if (rc) {
        tri_regex_free(r);
        int n = pattern.len < 80 ? (int)pattern.len : 80;
        tri_error_context(err, "regular expression %.*s%s", n, n ? pattern.ptr : "",
            pattern.len > 80 ? "..." : "");
        return rc;
    }
    *regex = r;
    return TRI_OK;
}

tri_status tri_regex_compile(tri_regex **regex, tri_str pattern, tri_error *err) {
    return tri_regex_compile_as(regex, pattern, TRI_REGEX_PERL, err);
}

void tri_regex_free(tri_regex *regex) {
    if (!regex) return;
    tri_arena_deinit(&regex->arena);
    free(regex);
}

/* ---- scans ---- */

#define NOWHERE SIZE_MAX

struct tri_regex_scan {
    const tri_regex *regex;
    const unsigned char *text, *end;
    tri_dfa dfa;
    tri_dfa looks[TRI_REGEX_MAX_LOOKS];
    uint8_t *holds; /* by place, 0 to the length of the text: a bit for each look */
    size_t cap_holds;
    size_t last_end; /* of the last match, or NOWHERE */
    tri_failures failures;
};

tri_status tri_regex_scan_create(tri_regex_scan **scan, const tri_regex *regex, tri_error *err) {
    tri_regex_scan *s = calloc(1, sizeof *s);
    if (!s) return TRI_FAIL(err, TRI_E_MEMORY, "no memory to use a regular expression");
    s->regex = regex;
    const unsigned char *nothing = (const unsigned char *)"";
    s->text = s->end = nothing;
    s->last_end = NOWHERE;
    tri_status rc = tri_dfa_init(&s->dfa, &regex->program, &regex->symbols, regex->n_looks, err);
    for (int32_t i = 0; i < regex->n_looks && !rc; i++)
        rc = tri_dfa_init(&s->looks[i], &regex->looks[i], &regex->symbols, regex->n_looks, err);
    if (!rc) rc = tri_regex_scan_begin(s, (tri_str){"", 0}, err);
    if (rc) {
        tri_regex_scan_free(s);
        return rc;
    }
    *scan = s;
    return TRI_OK;
}

void tri_regex_scan_free(tri_regex_scan *scan) {
    if (!scan) return;
    tri_dfa_deinit(&scan->dfa);
    for (int32_t i = 0; i < TRI_REGEX_MAX_LOOKS; i++)
        tri_dfa_deinit(&scan->looks[i]);
    tri_failures_deinit(&scan->failures);
    free(scan->holds);
    free(scan);
}

static const unsigned char *back_one(const unsigned char *begin, const unsigned char *p) {
    do
        p--;
    while (p > begin && (*p & 0xC0) == 0x80);
    return p;
}

/* The symbol that ends at p. */
static uint32_t symbol_before(
    const tri_regex_scan *s, const unsigned char *p, const unsigned char **at) {
    size_t n;
    const tri_symbols *symbols = &s->regex->symbols;
    if (p == s->text) return (uint32_t)symbols->n;
    *at = back_one(s->text, p);
    return tri_symbol_at(symbols, *at, s->end, &n);
}

/* Where one look holds, by one pass over the text in the direction away from it. */
static void find_holds(tri_regex_scan *s, int32_t look) {
    tri_dfa *dfa = &s->looks[look];
    const tri_symbols *symbols = &s->regex->symbols;
    int32_t bits = s->regex->n_looks;
    bool backward = dfa->program->backward;
    uint32_t row = tri_dfa_start(dfa, (uint32_t)symbols->n);
    for (const unsigned char *p = backward ? s->end : s->text;;) {
        const unsigned char *next = p;
        uint32_t symbol = (uint32_t)symbols->n;
        if (backward) {
            symbol = symbol_before(s, p, &next);
        } else if (p < s->end) {
            size_t n;
            symbol = tri_symbol_at(symbols, p, s->end, &n);
            next = p + n;
        }
        uint8_t *holds = &s->holds[p - s->text];
        uint32_t t = tri_dfa_step(dfa, row, symbol << bits | *holds);
        if (t & 1) *holds |= (uint8_t)(1u << look);
        row = t >> 1;
        if (next == p) break;
        p = next;
    }
}

tri_status tri_regex_scan_begin(tri_regex_scan *scan, tri_str text, tri_error *err) {
    int32_t n_looks = scan->regex->n_looks;
    if (n_looks > 0 && text.len >= scan->cap_holds) {
        size_t cap = text.len + text.len / 2 + 64;
        uint8_t *grown = realloc(scan->holds, cap);
        if (!grown)
            return TRI_FAIL(err, TRI_E_MEMORY, "no memory to scan %zu bytes of text", text.len);
        scan->holds = grown;
        scan->cap_holds = cap;
    }
    scan->text = (const unsigned char *)(text.len ? text.ptr : "");
    scan->end = scan->text + text.len;
    scan->last_end = NOWHERE;
    tri_failures_clear(&scan->failures, text.len, scan->dfa.n_drops);
    if (n_looks > 0) memset(scan->holds, 0, text.len + 1);
    for (int32_t i = 0; i < n_looks; i++)
        find_holds(scan, i);
    return TRI_OK;
}

/* A search is compiled twice, with general look-around and without: `looks` is constant in each. */
#define TRI_HOT static inline __attribute__((always_inline))

/* What reading takes from a scan, in registers. */
typedef struct reader {
    const tri_symbols *symbols;
    const unsigned char *text, *end;
    const uint8_t *holds; /* NULL without looks */
    uint32_t edge;        /* symbol */
    int32_t look_bits;
} reader;

TRI_HOT reader reader_of(const tri_regex_scan *s, bool looks) {
    const tri_symbols *symbols = &s->regex->symbols;
    return (reader){symbols, s->text, s->end, looks ? s->holds : NULL, (uint32_t)symbols->n,
        looks ? s->regex->n_looks : 0};
}

/* The column of what comes at p, and its length (0 at the edge). */
TRI_HOT uint32_t column_at(const reader *r, const unsigned char *p, size_t *length, bool looks) {
    uint32_t symbol = r->edge;
    *length = 0;
    if (p < r->end) symbol = tri_symbol_at(r->symbols, p, r->end, length);
    return looks ? symbol << r->look_bits | r->holds[p - r->text] : symbol;
}

/* One attempt, as far as it has come. */
typedef struct attempt {
    const unsigned char *p, *match; /* match: where the best one so far ends, NULL: none */
    uint32_t row;
} attempt;

/* Reads on while p <= last (and past the text's end, if that is last).  True: the attempt is done.
 */
TRI_HOT bool read_to(tri_regex_scan *s, attempt *a, const unsigned char *last, bool looks) {
    const reader r = reader_of(s, looks);
    const uint32_t *table = s->dfa.table;
    const unsigned char *p = a->p, *match = a->match;
    uint32_t row = a->row;
    while (p <= last) {
        size_t n;
        uint32_t column = column_at(&r, p, &n, looks);
        uint32_t t = table[row + column];
        if (t == TRI_DFA_UNKNOWN) {
            t = tri_dfa_fill(&s->dfa, row, column);
            table = s->dfa.table;
        }
        match = t & 1 ? p : match;
        if (t < TRI_DFA_FIRST_ROW) {
            *a = (attempt){p, match, row};
            return true;
        }
        row = t >> 1;
        p += n;
    }
    *a = (attempt){p, match, row};
    return false;
}

/* Reads on to the end of the attempt, or where it is known that nothing will come of it.  What is
 * noted on the way is not known to fail yet; but should a match come, no attempt comes back here.
 */
static __attribute__((noinline)) void read_carefully(tri_regex_scan *s, attempt *a, bool looks) {
    tri_failures *f = &s->failures;
    size_t n = (size_t)(s->end - s->text);
    for (bool done = false; !done;) {
        if (f->n_drops != s->dfa.n_drops) tri_failures_clear(f, n, s->dfa.n_drops);
        size_t place = (size_t)(a->p - s->text), block = (size_t)1 << f->shift;
        size_t mark = (place + block - 1) & ~(block - 1);
        if (place < mark) {
            done = read_to(s, a, s->text + (mark <= n ? mark - 1 : n), looks);
            if (done || f->n_drops != s->dfa.n_drops) continue;
            place = (size_t)(a->p - s->text);
        }
        uint32_t row = a->row;
        if (tri_failures_has(f, place, row)) break;
        done = read_to(s, a, a->p, looks);
        bool matched = a->match == s->text + place;
        if (f->n_drops == s->dfa.n_drops && !matched) tri_failures_add(f, place, row);
    }
    size_t reached = (size_t)(a->p - s->text);
    if (reached > f->reach) f->reach = reached;
}

TRI_HOT void run(tri_regex_scan *s, attempt *a, bool looks) {
    const unsigned char *from;
    if ((size_t)(a->p - s->text) >= s->failures.reach) {
        do {
            from = a->p;
            if (read_to(s, a, s->end - from > FAST_BYTES ? from + FAST_BYTES : s->end, looks))
                return;
        } while (a->match > from);
    }
    read_carefully(s, a, looks);
}

TRI_HOT bool find(tri_regex_scan *s, size_t *at, size_t *begin, size_t *end, bool looks) {
    const reader r = reader_of(s, looks);
    const unsigned char *p = s->text + *at, *before;
    const bool asks_last = s->regex->program.asks_last[0];
    uint32_t start = s->dfa.starts[0];
    if (asks_last || !start) start = tri_dfa_start(&s->dfa, symbol_before(s, p, &before));
    for (;;) {
        size_t n;
        uint32_t column = column_at(&r, p, &n, looks);
        uint32_t t = s->dfa.table[start + column];
        if (t != TRI_DFA_DEAD) {
            uint32_t n_drops = s->dfa.n_drops;
            if (t == TRI_DFA_UNKNOWN) t = tri_dfa_fill(&s->dfa, start, column);
            attempt a = {p + n, t & 1 ? p : NULL, t >> 1};
            if (t >= TRI_DFA_FIRST_ROW) run(s, &a, looks);
            /* An empty match right behind a match is none. */
            if (a.match && (a.match > p || (size_t)(p - s->text) != s->last_end)) {
                *begin = (size_t)(p - s->text);
                *end = s->last_end = (size_t)(a.match - s->text);
                *at = a.match > p ? *end : *begin + (n ? n : 1);
                return true;
            }
            if (n_drops != s->dfa.n_drops) start = 0;
        }
        if (n == 0) return false;
        if (asks_last) start = s->dfa.starts[s->regex->program.kind[column >> r.look_bits]];
        if (!start) start = tri_dfa_start(&s->dfa, column >> r.look_bits);
        p += n;
    }
}

static __attribute__((noinline)) bool find_with_looks(
    tri_regex_scan *s, size_t *at, size_t *begin, size_t *end) {
    return find(s, at, begin, end, true);
}

bool tri_regex_scan_next(tri_regex_scan *scan, size_t *at, size_t *begin, size_t *end) {
    size_t n = (size_t)(scan->end - scan->text);
    if (*at > n) return false;
    /* Going back makes what was noted on the way to a match wrong. */
    if (scan->last_end != NOWHERE && *at < scan->last_end) {
        tri_failures_clear(&scan->failures, n, scan->dfa.n_drops);
        scan->last_end = NOWHERE;
    }
    return scan->regex->n_looks > 0 ? find_with_looks(scan, at, begin, end)
                                    : find(scan, at, begin, end, false);
}
