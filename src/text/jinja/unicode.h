/* unicode.h - characters as Python's str sees them. */
#ifndef TRI_TEXT_JINJA_UNICODE_H
#define TRI_TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at text, n bytes of UTF-8 (n > 0); returns its length.  Ill-formed: one byte,
 * U+FFFD. */
size_t jj_point(const char *text, size_t n, uint32_t *c);
size_t jj_put_point(uint32_t c, char *out);       /* up to 4 bytes */
size_t jj_last_point(const char *text, size_t n); /* where the last code point begins; n > 0 */
size_t jj_rstrip(const char *text, size_t n);     /* length without trailing whitespace */

bool jj_is_space(uint32_t c); /* str.isspace, and \s of re */
bool jj_is_break(uint32_t c); /* where str.splitlines breaks */
bool jj_is_word(uint32_t c);  /* \w of re */
bool jj_is_alpha(uint32_t c);
bool jj_is_decimal(uint32_t c);
bool jj_is_digit(uint32_t c);
bool jj_is_numeric(uint32_t c);
bool jj_is_printable(uint32_t c);
bool jj_is_lower(uint32_t c);
bool jj_is_upper(uint32_t c);
bool jj_is_title(uint32_t c);
bool jj_is_cased(uint32_t c);
bool jj_is_case_ignorable(uint32_t c);

typedef enum jj_case { JJ_UPPER, JJ_LOWER, JJ_TITLE, JJ_FOLD } jj_case;
/* The full mapping, up to 3 code points into out; returns how many. */
int jj_map_case(jj_case how, uint32_t c, uint32_t out[3]);

#endif
