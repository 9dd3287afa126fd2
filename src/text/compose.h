/* compose.h - Unicode normalisation forms and lower case. */
#ifndef TRI_TEXT_COMPOSE_H
#define TRI_TEXT_COMPOSE_H

#include "base/buf.h"

typedef enum tri_normal_form { TRI_NFC, TRI_NFD, TRI_NFKC, TRI_NFKD } tri_normal_form;

/* Whether valid text is surely in that form already: quick, false for some that are. */
bool tri_is_normal(tri_normal_form form, tri_str text);
/* Appends the form of valid text. */
tri_status tri_compose(tri_normal_form form, tri_str text, tri_buf *out, tri_error *err);
/* Appends the lower case of one character, whatever stands beside it. */
void tri_lowercase(uint32_t code, tri_buf *out);

#endif
