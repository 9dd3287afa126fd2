/* unicode_tables.h - character properties that utf8proc lacks. */
#ifndef TRI_TEXT_JINJA_UNICODE_TABLES_H
#define TRI_TEXT_JINJA_UNICODE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tri_jinja_table {
    TRI_JINJA_DIGITS,        /* Numeric_Type=Digit */
    TRI_JINJA_NUMERALS,      /* letters with a numeric value */
    TRI_JINJA_OTHER_LOWER,   /* Lowercase, but not Ll */
    TRI_JINJA_OTHER_UPPER,   /* Uppercase, but not Lu */
    TRI_JINJA_CASE_IGNORABLE /* beside Mn, Me, Cf, Lm and Sk */
} tri_jinja_table;

bool tri_jinja_in_table(tri_jinja_table table, uint32_t c);
/* The up to three characters a mapping to several gives, 0 after the last; NULL: not to several. */
const uint32_t *tri_jinja_upper_of(uint32_t c);
const uint32_t *tri_jinja_title_of(uint32_t c);

#endif
