/* unicode_tables.h - character properties that utf8proc lacks. */
#ifndef TRI_TEXT_JINJA_UNICODE_TABLES_H
#define TRI_TEXT_JINJA_UNICODE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum jj_table {
    JJ_DIGITS,        /* Numeric_Type=Digit */
    JJ_NUMERALS,      /* letters with a numeric value */
    JJ_OTHER_LOWER,   /* Lowercase, but not Ll */
    JJ_OTHER_UPPER,   /* Uppercase, but not Lu */
    JJ_CASE_IGNORABLE /* beside Mn, Me, Cf, Lm and Sk */
} jj_table;

bool jj_in_table(jj_table table, uint32_t c);
/* The up to three characters a mapping to several gives, 0 after the last; NULL: not to several. */
const uint32_t *jj_upper_of(uint32_t c);
const uint32_t *jj_title_of(uint32_t c);

#endif
