/* strings.h - what filters and methods of text share. */
#ifndef TRI_TEXT_JINJA_STRINGS_H
#define TRI_TEXT_JINJA_STRINGS_H

#include "text/jinja/unicode.h"
#include "text/jinja/vm.h"

jj_value jj_cased(jj_vm *vm, jj_str *s, jj_case how);
jj_value jj_capitalized(jj_vm *vm, jj_str *s);
jj_value jj_titled(jj_vm *vm, jj_str *s);      /* str.title */
jj_value jj_swapped(jj_vm *vm, jj_str *s);     /* str.swapcase */
jj_value jj_title_words(jj_vm *vm, jj_str *s); /* the title filter: words by punctuation */

enum { JJ_LEFT = 1, JJ_RIGHT = 2 };
/* chars NULL: whitespace. */
jj_value jj_strip(jj_vm *vm, jj_str *s, jj_str *chars, int sides);
jj_value jj_replace(jj_vm *vm, jj_str *s, jj_str *from, jj_str *to, int64_t count);
/* separator NULL: runs of whitespace.  max < 0: no limit. */
jj_value jj_split(jj_vm *vm, jj_str *s, jj_str *separator, int64_t max, bool from_right);
jj_value jj_lines(jj_vm *vm, jj_str *s, bool keep_ends);
jj_value jj_join(jj_vm *vm, jj_str *separator, jj_value iterable, bool strs_only);
/* To width code points; sides: where the fill goes. */
jj_value jj_pad(jj_vm *vm, jj_str *s, int64_t width, const jj_str *fill, int sides);

#endif
