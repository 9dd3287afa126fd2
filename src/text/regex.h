/* regex.h - the regular expressions of tokenizer files, matched in time linear in the text.
 *
 * Perl's leftmost match with its preference among alternatives, as Oniguruma, fancy-regex and PCRE2
 * give it, but by a lazily built automaton over classes of code points: no text makes it slow.
 * Syntax: literals, `.`, classes with ranges, negation, nesting, `&&` and POSIX names, \d \s \w \h
 * \p{..} \P{..} (general categories and scripts), \R, anchors, \b \B, groups (capturing, (?:..),
 * (?i:..), (?i), (?>..)), alternation, greedy, lazy and possessive repeats, bounded ones,
 * look-ahead of any kind, look-behind of one code point.  Possessive and atomic parts are supported
 * where they can be written as look-ahead (a repeat of one class); the rest, and back-references,
 * are TRI_E_UNSUPPORTED by name and place. */
#ifndef TRI_TEXT_REGEX_H
#define TRI_TEXT_REGEX_H

#include "base/buf.h"

typedef struct tri_regex tri_regex; /* immutable: shared by threads */

/* TRI_E_FORMAT with the place of a syntax error, TRI_E_LIMIT where it would grow too big. */
tri_status tri_regex_compile(tri_regex **regex, tri_str pattern, tri_error *err);
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
