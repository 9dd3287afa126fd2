/* regex_class.h - the named classes of regular expressions as sets of code points.
 *
 * Where engines differ, Oniguruma's reading: \h is a hexadecimal digit, [:punct:] P and S. */
#ifndef TRI_TEXT_REGEX_CLASS_H
#define TRI_TEXT_REGEX_CLASS_H

#include "base/buf.h"
#include "text/regex_set.h"

/* Each adds to *set; false: no such class. */
bool tri_class_escape(tri_code_set *set, char letter, tri_arena *arena); /* d s w h */
/* What \p{name} means: a category, a group of them, a script, a property; "Script=Han" and the like
 * too. */
bool tri_class_property(tri_code_set *set, tri_str name, tri_arena *arena);
bool tri_class_posix(tri_code_set *set, tri_str name, tri_arena *arena);

#endif
