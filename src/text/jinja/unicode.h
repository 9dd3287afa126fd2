/* unicode.h - characters as Python's str sees them. */
#ifndef TRI_TEXT_JINJA_UNICODE_H
#define TRI_TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Up to 4 bytes; a surrogate, which Python's str may hold and UTF-8 may not, as U+FFFD. */
size_t tri_jinja_put_code(uint32_t c, char *out);
size_t tri_jinja_rstrip(const char *text, size_t n); /* length without trailing whitespace */

bool tri_jinja_is_space(uint32_t c); /* str.isspace, and \s of re */
bool tri_jinja_is_break(uint32_t c); /* where str.splitlines breaks */
bool tri_jinja_is_word(uint32_t c);  /* \w of re */
bool tri_jinja_is_alpha(uint32_t c);
bool tri_jinja_may_be_named(uint32_t c, bool first); /* in an identifier, as its first character */
bool tri_jinja_is_decimal(uint32_t c);
bool tri_jinja_is_digit(uint32_t c);
bool tri_jinja_is_numeric(uint32_t c);
bool tri_jinja_is_printable(uint32_t c);
bool tri_jinja_is_lower(uint32_t c);
bool tri_jinja_is_upper(uint32_t c);
bool tri_jinja_is_title(uint32_t c);
bool tri_jinja_is_cased(uint32_t c);
bool tri_jinja_is_case_ignorable(uint32_t c);

typedef enum tri_jinja_case {
    TRI_JINJA_UPPER,
    TRI_JINJA_LOWER,
    TRI_JINJA_TITLE,
    TRI_JINJA_FOLD
} tri_jinja_case;
/* The full mapping, up to 3 code points into out; returns how many. */
int tri_jinja_map_case(tri_jinja_case how, uint32_t c, uint32_t out[3]);

#endif
