/* regex_class.h - the named classes of regular expressions as sets of code points.
 *
 * Where engines differ, Oniguruma's reading: \h is a hexadecimal digit, [:punct:] P and S. */
#ifndef TRI_TEXT_REGEX_CLASS_H
#define TRI_TEXT_REGEX_CLASS_H

#include "base/buf.h"
#include "text/regex_set.h"

/* Runs of one category, made at first use and kept while one pattern is compiled. */
typedef struct tri_class_tables {
    tri_arena *arena;
    uint32_t *runs; /* first code point << 8 | category */
    int32_t n_runs;
} tri_class_tables;

/* Each adds to *set; false: no such class. */
bool tri_class_escape(tri_code_set *set, char letter, tri_class_tables *tables); /* d s w h */
/* What \p{name} means: a category, a group of them, a script, a property; "Script=Han" and the like
 * too. */
bool tri_class_property(tri_code_set *set, tri_str name, tri_class_tables *tables);
bool tri_class_posix(tri_code_set *set, tri_str name, tri_class_tables *tables);

#endif
