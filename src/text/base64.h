/* base64.h - base64 as RFC 4648, section 4 has it, padding and all. */
#ifndef TRI_TEXT_BASE64_H
#define TRI_TEXT_BASE64_H

#include "base/buf.h"

/* Into out (room for text.len bytes); false: text is not base64. */
bool tri_base64_decode(tri_str text, char *out, size_t *n);

#endif
