/* strings.h - what filters and methods of text share. */
#ifndef TRI_TEXT_JINJA_STRINGS_H
#define TRI_TEXT_JINJA_STRINGS_H

#include "text/jinja/unicode.h"
#include "text/jinja/vm.h"

tri_jinja_value tri_jinja_cased(tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_case how);
tri_jinja_value tri_jinja_capitalized(tri_jinja_vm *vm, tri_jinja_str *s);
tri_jinja_value tri_jinja_titled(tri_jinja_vm *vm, tri_jinja_str *s);  /* str.title */
tri_jinja_value tri_jinja_swapped(tri_jinja_vm *vm, tri_jinja_str *s); /* str.swapcase */
tri_jinja_value tri_jinja_title_words(
    tri_jinja_vm *vm, tri_jinja_str *s); /* the title filter: words by punctuation */

enum { TRI_JINJA_LEFT = 1, TRI_JINJA_RIGHT = 2 };
/* chars NULL: whitespace. */
tri_jinja_value tri_jinja_strip(
    tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_str *chars, int sides);
tri_jinja_value tri_jinja_replace(
    tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_str *from, tri_jinja_str *to, int64_t count);
/* separator NULL: runs of whitespace.  max < 0: no limit. */
tri_jinja_value tri_jinja_split(
    tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_str *separator, int64_t max, bool from_right);
tri_jinja_value tri_jinja_lines(tri_jinja_vm *vm, tri_jinja_str *s, bool keep_ends);
tri_jinja_value tri_jinja_join(
    tri_jinja_vm *vm, tri_jinja_str *separator, tri_jinja_value iterable, bool strs_only);
/* To width code points; sides: where the fill goes. */
tri_jinja_value tri_jinja_pad(
    tri_jinja_vm *vm, tri_jinja_str *s, int64_t width, const tri_jinja_str *fill, int sides);

#endif
