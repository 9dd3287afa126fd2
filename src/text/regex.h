/* regex.h - the regular expressions of tokenizer files, matched in time linear in the text.
 *
 * Perl's leftmost match with its preference among alternatives, as Oniguruma, fancy-regex and PCRE2
 * give it, but by a lazily built automaton over classes of code points: no text makes it slow.
 * Syntax: literals, `.`, classes with ranges, negation, nesting, `&&` and POSIX names, \d \s \w \h
 * \p{..} \P{..} (general categories and scripts), \R, anchors, \b \B, groups (capturing, (?:..),
 * (?i:..), (?i), (?>..)), alternation, greedy, lazy and possessive repeats, bounded ones,
 * look-ahead and look-behind of any kind.  Possessive and atomic parts are supported where they can
 * be written as look-ahead (repeats and alternatives of what matches in one way only); the rest,
 * and back-references, are TRI_E_UNSUPPORTED by name and place.  \h is a hexadecimal digit, and
 * case folding is that of single code points.  Unicode is 15.0. */
#ifndef TRI_TEXT_REGEX_H
#define TRI_TEXT_REGEX_H

#include "base/buf.h"

typedef struct tri_regex tri_regex; /* immutable: shared by threads */

/* Where engines read the same pattern differently. */
typedef enum tri_regex_syntax {
    /* fancy-regex and PCRE2, which tiktoken-like files are written for: {1,3}+ is possessive, ^ and
     * $ are the text's ends unless (?m), (?s) lets . match a newline,
     * \w has the joiners U+200C and U+200D. */
    TRI_REGEX_PERL,
    /* Oniguruma as tokenizer.json has it: {1,3}+ repeats a repeat, {,3} counts from 0, ^ and $ are
     * line ends, (?m) lets . match a newline, a|(?i)b|c is a|(?i:b|c). */
    TRI_REGEX_RUBY
} tri_regex_syntax;

/* TRI_E_FORMAT with the place of a syntax error, TRI_E_LIMIT where it would grow too big.
 * tri_regex_compile reads TRI_REGEX_PERL. */
tri_status tri_regex_compile(tri_regex **regex, tri_str pattern, tri_error *err);
tri_status tri_regex_compile_as(
    tri_regex **regex, tri_str pattern, tri_regex_syntax syntax, tri_error *err);
void tri_regex_free(tri_regex *regex);

/* One thread's use of a regex: the automaton's states so far (bounded, dropped and built again when
 * they are too many) and what look-ahead needs of the text. */
typedef struct tri_regex_scan tri_regex_scan;
tri_status tri_regex_scan_create(tri_regex_scan **scan, const tri_regex *regex, tri_error *err);
void tri_regex_scan_free(tri_regex_scan *scan);

/* text: valid UTF-8, kept by the caller while it is scanned.  Look-around sees only this text. */
tri_status tri_regex_scan_begin(tri_regex_scan *scan, tri_str text, tri_error *err);
/* The next match at or after *at, [*begin, *end); moves *at past it (an empty match moves one code
 * point on).  False: none. */
bool tri_regex_scan_next(tri_regex_scan *scan, size_t *at, size_t *begin, size_t *end);

#endif
