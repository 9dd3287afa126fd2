/* unicode_tables.h - Unicode 15.0 data that utf8proc does not have, or only a code point at a time.
 */
#ifndef TRI_TEXT_UNICODE_TABLES_H
#define TRI_TEXT_UNICODE_TABLES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tri_code_range { /* both inclusive */
    uint32_t first, last;
} tri_code_range;

/* Runs of one general category (tri_category), sorted, over all code points. */
extern const uint32_t tri_category_runs[];
extern const int32_t tri_n_category_runs;

/* Runs of one script, sorted, over all code points; the index is by code point >> 8. */
extern const uint32_t tri_script_runs[];
extern const int32_t tri_n_script_runs;
extern const uint16_t tri_script_index[];
extern const char *const tri_script_names[][2]; /* long, four letters */
extern const int32_t tri_n_scripts;

/* Code points with the property beyond those whose category implies it: Alphabetic beyond L, M and
 * Nl; Uppercase beyond Lu; Lowercase beyond Ll.  Marks that are not Alphabetic. */
extern const tri_code_range tri_unicode_alphabetic[];
extern const int32_t tri_n_unicode_alphabetic;
extern const tri_code_range tri_unicode_uppercase[];
extern const int32_t tri_n_unicode_uppercase;
extern const tri_code_range tri_unicode_lowercase[];
extern const int32_t tri_n_unicode_lowercase;
extern const tri_code_range tri_unicode_not_alphabetic_mark[];
extern const int32_t tri_n_unicode_not_alphabetic_mark;
extern const tri_code_range tri_unicode_emoji[];
extern const int32_t tri_n_unicode_emoji;
extern const tri_code_range tri_unicode_pictographic[];
extern const int32_t tri_n_unicode_pictographic;

/* Numeric_Type=Digit, which decimal digits are not; letters with a numeric value; Case_Ignorable
 * beyond Mn, Me, Cf, Lm and Sk. */
extern const tri_code_range tri_unicode_digit[];
extern const int32_t tri_n_unicode_digit;
extern const tri_code_range tri_unicode_numeral[];
extern const int32_t tri_n_unicode_numeral;
extern const tri_code_range tri_unicode_case_ignorable[];
extern const int32_t tri_n_unicode_case_ignorable;
/* Whose XID_Start is not what its category implies (L and Nl), and XID_Continue (those, Mn, Mc, Nd,
 * Pc). */
extern const tri_code_range tri_unicode_odd_start[];
extern const int32_t tri_n_unicode_odd_start;
extern const tri_code_range tri_unicode_odd_continue[];
extern const int32_t tri_n_unicode_odd_continue;

/* Whether one of n sorted ranges holds the code. */
bool tri_code_ranges_hold(const tri_code_range *ranges, int32_t n, uint32_t code);

typedef struct tri_code_mapping { /* to two or three code points, 0 after the last */
    uint32_t from, to[3];
} tri_code_mapping;

/* Sorted: the code points that become several in upper case, and in title case. */
extern const tri_code_mapping tri_unicode_to_upper[];
extern const int32_t tri_n_unicode_to_upper;
extern const tri_code_mapping tri_unicode_to_title[];
extern const int32_t tri_n_unicode_to_title;

#endif
